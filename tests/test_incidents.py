"""Ten incidents on a real stack: what *Now* says first, which alert fires, what its page shows.

Each is mended as its page says, and then *Now* says that all is well. What takes hours in the field
is in the rows; the rules' minutes pass by the clock that the look is given. The table is in
docs/runbooks/README.md.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import pytest
import redis
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone

from durable.alerts import watch
from durable.alerts.conditions import Above
from durable.alerts.models import Alert, Sample
from durable.alerts.rules import RULES, Rule
from durable.backups.models import Backup
from durable.console import diagnosis, snapshot
from durable.journal import minutes
from durable.journal.models import Entry, Minute, Total
from durable.queue.models import Task
from durable.schedules.tests.scheduling import periodic

from .containers import ROOT
from .durable_tasks import add, effect, effects, leaks, poison, truncate
from .fixtures_durable import TASKS
from .fixtures_worker import Role, StartRole, database_url, wait_for

pytestmark = pytest.mark.usefixtures("effect_table", "quick")

PAGE = ROOT / "docs/runbooks/README.md"
MINUTE = timedelta(minutes=1)
WELL = re.compile("All is well: 1 worker, .*")


class Field:
    """The stack, and what a person on call sees of it and types."""

    def __init__(self, client: Client, start_role: StartRole) -> None:
        self.client, self._start_role = client, start_role
        self.worker = self.start("worker", "-Q", "default")
        self.beat = self.start("beat", BEAT_LEADER_TIMEOUT="600")

    def start(self, *words: str, **env: str) -> Role:
        return self._start_role(*words, **{**TASKS, **env})

    def now(self) -> str:
        """Return the first sentence of *Now*."""
        page = self.client.get("/ops/")
        assert page.status_code == 200
        found = page.context["findings"]
        return str(found[0].says if found else page.context["calm"])

    def shows(self, pattern: str | re.Pattern[str]) -> str:
        """Return the sentence once it is that one."""
        said = ""

        def seen() -> bool:
            nonlocal said
            said = self.now()
            return bool(re.fullmatch(pattern, said))

        wait_for(seen, f"{pattern} is said")
        return said

    def type(self, command: str) -> str:
        """Return what a command of manage.py prints."""
        with suppress(SystemExit):  # the doctor's, which says how bad it is
            call_command(*command.split())
        return str(self.printed().out)

    printed: Callable[[], Any]

    def sql(self, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)


def earlier(by: timedelta) -> None:
    """Let what has just ended have ended so much earlier, and count all minutes anew."""
    columns = ("called_at", "due_at", "started_at", "ended_at")
    just = Entry.objects.filter(ended_at__gt=timezone.now() - by)
    just.update(**{name: F(name) - by for name in columns})
    for model in (Minute, Total):
        model.objects.all().delete()
    wait_for(minutes.fold, "no janitor counts them just now")


def wait_for_longer(by: timedelta) -> None:
    """Let what is ready have waited so much longer."""
    Task.objects.filter(worker=None).update(due_at=F("due_at") - by)


def ended(count: int) -> None:
    wait_for(lambda: Entry.objects.count() == count, f"{count} tasks have ended")


def forget() -> None:
    """Leave nothing of the last incident but rows that wait."""
    for model in (Entry, Minute, Total, Alert, Sample):
        model.objects.all().delete()


# --- The incidents: each makes one, waits at its yield, and mends it ------------------------------


@contextmanager
def no_worker(field: Field) -> Iterator[None]:
    for label in "abc":
        effect.apply_async_on_commit((label,), queue="mail")
    wait_for_longer(6 * MINUTE)
    yield
    other = field.start("worker", "-Q", "mail")
    ended(3)
    other.stop()


@contextmanager
def poisoned(field: Field) -> Iterator[None]:
    poison.delay_on_commit("poison")
    yield
    assert "1 tasks" in field.type("tasks discard state:quarantined --yes")
    wait_for(lambda: not Task.objects.exists(), "it is discarded")


@contextmanager
def one_fails(field: Field) -> Iterator[None]:
    """A release has forgotten a table."""
    truncate()
    field.sql("ALTER TABLE test_effect RENAME TO forgotten")
    labels = [f"fails-{number}" for number in range(6)]
    for label in labels:
        effect.delay_on_commit(label)
    ended(6)
    yield
    field.sql("ALTER TABLE forgotten RENAME TO test_effect")
    field.type(f"tasks retry task:={effect.name} state:failed --yes")
    wait_for(lambda: effects() == dict.fromkeys(labels, 1), "each has run once")


@contextmanager
def slow_database(field: Field) -> Iterator[None]:
    with transaction.atomic():
        for number in range(20):
            effect.delay_on_commit(f"quick-{number}")
    ended(20)
    # Quick, however busy this machine is.
    Entry.objects.update(started_at=F("ended_at") - timedelta(milliseconds=20))
    earlier(20 * MINUTE)
    field.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
              " 'BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END'")  # fmt: skip
    field.sql(
        "CREATE TRIGGER slow BEFORE INSERT ON test_effect FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    with transaction.atomic():
        for number in range(60):
            effect.delay_on_commit(f"slow-{number}")
    wait_for_longer(11 * MINUTE)
    wait_for(lambda: Entry.objects.count() >= 26, "some have ended")
    earlier(2 * MINUTE)
    yield
    field.sql("DROP FUNCTION slow CASCADE")
    wait_for(lambda: not Task.objects.exists(), "the backlog is gone")


@contextmanager
def full_broker(field: Field) -> Iterator[None]:
    server = redis.Redis.from_url(os.environ["BROKER_ADMIN_URL"])
    server.config_set("maxmemory", int(server.info("memory")["used_memory"] / 0.92))
    yield
    server.config_set("maxmemory", 0)


@contextmanager
def late_schedule(field: Field) -> Iterator[None]:
    """Beat leads, and is frozen."""
    os.kill(field.beat.process.pid, signal.SIGSTOP)
    model = periodic("nightly", task=add.name, args="[1, 2]")
    yield
    os.kill(field.beat.process.pid, signal.SIGCONT)
    ended(1)
    model.delete()


@contextmanager
def wrong_version(field: Field) -> Iterator[None]:
    other = field.start("worker", "-Q", "default", APP_VERSION="next")
    yield
    other.stop()


@contextmanager
def leak(field: Field) -> Iterator[None]:
    leaks.delay_on_commit(0, 0)
    ended(1)
    earlier(30 * MINUTE)
    leaks.delay_on_commit(500_000_000, 3)
    ended(2)
    earlier(2 * MINUTE)
    yield


@contextmanager
def stuck_transaction(field: Field) -> Iterator[None]:
    url = f"{database_url()}{'&' if '?' in database_url() else '?'}application_name=psql"
    with suppress(psycopg.errors.AdminShutdown), psycopg.connect(url) as session:
        session.execute("SELECT 1")
        yield
        advice = field.client.get("/ops/").context["findings"][0].do
        field.sql(advice.partition("end it: ")[2])


@contextmanager
def old_backup(field: Field) -> Iterator[None]:
    hours = timedelta(hours=40)
    old = timezone.now() - hours
    model = Backup.objects.create(file="old.dump", dumped_at=old, proven_at=old + 5 * MINUTE)
    yield
    model.delete()


class Incident(NamedTuple):
    """What happens, and what must be seen of it."""

    what: str
    makes: Callable[[Field], Any]
    #: *Now*'s first sentence.
    says: str
    alert: str
    #: A line that a command of the alert's page prints.
    line: str
    #: What mends it, for the table.
    mended: str


INCIDENTS = (
    Incident(
        "No worker takes from a queue", no_worker,
        r"3 tasks of mail wait for 6 min.*: no worker takes from it\.",
        "TasksUntaken",
        r"queue +ready +3 in mail; the oldest for \d+ s, in mail; no worker takes from mail",
        "a worker with `WORKER_QUEUES=mail`",
    ),
    Incident(
        "A task kills its process", poisoned,
        r"1 task in quarantine, of tests\.durable_tasks\.poison: .*\.",
        "TasksInQuarantine", r"quarantined +tests\.durable_tasks\.poison",
        "`manage.py tasks discard state:quarantined --yes`",
    ),
    Incident(
        "One task fails", one_fails,
        r"6 of \d+ tasks of default failed last minute: tests\.durable_tasks\.effect by "
        r"ProgrammingError at .*\.",
        "TasksFail", r"failed +tests\.durable_tasks\.effect",
        "the table that it missed, then `manage.py tasks retry … --yes`: each ran once",
    ),
    Incident(
        "PostgreSQL is slow", slow_database,
        r"tests\.durable_tasks\.effect takes .*, \d+ times as long as in the last hour\.",
        "TasksWaitTooLong", r"running +tests\.durable_tasks\.effect",
        "the trigger that slept",
    ),
    Incident(
        "The broker is full", full_broker,
        r"The broker is \d+ % full: beyond its limit it refuses plain calls\.",
        "BrokerNearLimit", r"broker +memory",
        "a higher `maxmemory`",
    ),
    Incident(
        "A schedule is late", late_schedule,
        r"The periodic task “nightly” is 30 min( \d+ s)? late\.",
        "ScheduleMissed", r"schedules.*nightly",
        "beat, which was frozen: it calls what it missed once",
    ),
    Incident(
        "Two versions run", wrong_version,
        r"The roles run different versions: [\d.]+, next\.",
        "VersionSkew", r"queue +versions +[\d.]+, next", "the end of the other worker",
    ),
    Incident(
        "A task leaks until the kernel kills it", leak,
        r"Processes that ran tests\.durable_tasks\.leaks have grown from \d+ MB to \d+ MB\.",
        "AttemptsDie", r"tests\.durable_tasks\.leaks +\d+ +0 +3 +\d+ MB",
        "the task's fourth attempt",
    ),
    Incident(
        "A transaction stays open", stuck_transaction,
        r"A transaction of psql is open for .*: nothing can be vacuumed, and tables grow\.",
        "TransactionOpen", r"the longest runs for \d+ s: psql, pid \d+, idle in transaction",
        "the statement that *Now* gives: `SELECT pg_terminate_backend(…)`",
    ),
    Incident(
        "The backup is old", old_backup, r"The last proven backup is 40 h old\.",
        "BackupTooOld", r"backup", "a backup that was proven",
    ),
)  # fmt: skip


def fires(rule: Rule, since: datetime) -> list[str]:
    """Return which alerts fire once the rule's minutes are over."""
    for minute in (0, rule.minutes):
        found = watch.look(now=since + minute * MINUTE)
    assert found is not None
    return sorted({alert.rule for alert in found.firing})


def commands(alert: str) -> list[str]:
    """Return what the page of an alert tells to type."""
    page = (PAGE.parent / f"{alert}.md").read_text()
    return re.findall(r"(?m)^python manage\.py (.*)$", page)


def without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.,]*( min| ms| s| h| MB)?( \d+ s)?", "N", text)


def test_each_incident_is_named_alerted_and_mended_as_its_page_says(
    admin_client: Client, start_role: StartRole, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(snapshot, "KEEP", 0.0)
    monkeypatch.setattr(snapshot.keeper, "_last", None)
    # That a transaction is open for minutes is the one thing that no row can say.
    monkeypatch.setattr(diagnosis, "STUCK", 1.0)
    open_for = watch.BY_NAME["TransactionOpen"]
    brief = open_for._replace(when=Above("proj_database_transaction_seconds", 1.0))
    rules = [brief if rule is open_for else rule for rule in RULES]
    monkeypatch.setattr(watch, "RULES", rules)
    field = Field(admin_client, start_role)
    field.printed = capsys.readouterr
    field.shows(WELL)
    seen = []
    for one in INCIDENTS:
        forget()
        rule, begin = watch.BY_NAME[one.alert], timezone.now()
        before = fires(rule, begin - 14 * MINUTE)  # of this machine: its disk may be full
        Alert.objects.all().delete()
        with ExitStack() as stack:
            stack.enter_context(one.makes(field))
            says = re.sub(r"( min) \d+ s\b", r"\1", field.shows(one.says))  # as it was at once
            if one.alert == "TasksFail":  # whose minutes are not over
                earlier(2 * MINUTE)
            alerts = [name for name in fires(rule, timezone.now()) if name not in before]
            assert one.alert in alerts, one.what
            shown = "\n".join(field.type(command) for command in commands(one.alert))
            line = re.search(rf"(?m)^.*{one.line}.*$", shown)
            assert line, f"{one.what}: {shown}"
        forget()
        field.shows(WELL)
        link = f"[{one.alert}]({one.alert}.md)"
        shown = re.sub(r"  +", " ", line[0].strip()).replace("|", "")
        seen.append(f"| {one.what} | {says} | {link} | `{shown}` | {one.mended} |")
    written = PAGE.read_text().partition("## Ten incidents")[2]
    missing = [row for row in seen if without_numbers(row) not in without_numbers(written)]
    assert missing == [], "\n".join(["the table of the page should be:", *seen])
