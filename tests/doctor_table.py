"""``python -m tests.doctor_table``: a stack of compose's own is broken in many ways, one by one.

What ``make doctor`` then says, and its exit code, is a table of docs/operations.md. Each is undone
before the next one, until the doctor finds nothing. What takes hours in the field is in the rows.
Words choose some of them: ``python -m tests.doctor_table broker backup``.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from .chaos import stack as chaos
from .chaos.engine import ChaosError, run, wait_until
from .chaos.files import ROOT
from .chaos.page import write_rows
from .chaos.table import in_markdown

PAGE = ROOT / "docs" / "operations.md"
HEAD = ("what is broken", "exit code", "the lines that aren't well")
HEALTHY = "nothing"
#: Seconds in which the lines stay the same where a container is away: compose's health checks take
#: three rounds to notice.
SETTLED = 40.0
#: Seconds until a line is there; an open transaction is long from 300 on.
PATIENCE = 420.0

#: A line: part, name, level, says, do.
Row = dict[str, str]


class Report(NamedTuple):
    """What the doctor said, and its exit code."""

    code: int
    rows: list[Row]

    @property
    def bad(self) -> list[Row]:
        """The lines that aren't well."""
        return [row for row in self.rows if row["level"] != "ok"]

    def has(self, name: str) -> bool:
        """Return whether the line *name* ("queue workers") isn't well."""
        return any(f"{row['part']} {row['name']}".strip() == name for row in self.bad)

    def cell(self) -> str:
        """Return the lines for the table; parts that say the same stand together."""
        if not self.bad:
            return f"none of {len(self.rows)}"
        said: dict[tuple[str, str], dict[str, list[str]]] = {}
        for row in self.bad:
            parts = said.setdefault((row["level"].upper(), row["says"]), {})
            parts.setdefault(row["part"], []).append(row["name"])
        lines = []
        for (level, says), parts in said.items():
            names = (f"{part} {', '.join(names)}".strip() for part, names in parts.items())
            lines.append(f"{level} {', '.join(names)}: {says}")
        return "<br>".join(line.replace("|", "\\|") for line in lines)


class Stack(chaos.Stack):
    """The stack as a person has it: none of the fault suite's own settings."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of compose."""
        return {**super().env, "COMPOSE_FILE": "compose.yaml"}

    def doctor(self) -> Report:
        """Return what the doctor says."""
        done = run(str(ROOT / "deploy/doctor"), "--json", check=False, env=self.env)
        return Report(done.returncode, json.loads(done.stdout)["lines"])

    def python(self, code: str) -> subprocess.Popen[str]:
        """Start Python *code* in web, which has psycopg and the app's rights; return the process.

        It has begun when it has printed a line, and ends when its input does.
        """
        process = subprocess.Popen(
            ["docker", "exec", "-i", self.one("web"), "python", "-c", SESSION + code],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout
        if not process.stdout.readline():
            raise ChaosError(f"the session has ended: {code}")
        return process


#: What a session of the app in PostgreSQL begins with.
SESSION = """import os, pathlib, psycopg, sys
url = pathlib.Path(os.environ["DATABASE_URL_FILE"]).read_text().strip()
"""
HOLD = "\nprint(flush=True); sys.stdin.read()"


class Broken(NamedTuple):
    """How something is broken, the line that says so, and for how long the lines must stay."""

    made: Callable[[Stack], AbstractContextManager[None]]
    line: str
    settled: float


#: By what is broken.
BROKEN: dict[str, Broken] = {}


def broken(
    what: str, line: str, settled: float = 0.0
) -> Callable[[Callable[[Stack], Iterator[None]]], None]:
    """Put what breaks a stack, and undoes it, into the table."""
    return lambda made: BROKEN.update({what: Broken(contextmanager(made), line, settled)})


def _stopped(*services: str) -> Callable[[Stack], Iterator[None]]:
    def made(stack: Stack) -> Iterator[None]:
        stack.compose("stop", *services)
        yield
        stack.compose("start", *services)

    return made


for _service, _line in (
    ("worker", "queue workers"), ("beat", "schedules beat"), ("postgres", "database"),
    ("redis", "broker"), ("proxy", "containers proxy"),
):  # fmt: skip
    broken(f"{_service} is stopped", _line, SETTLED)(_stopped(_service))
broken("web, worker and beat are stopped", "app", SETTLED)(_stopped("web", "worker", "beat"))


@broken("worker hangs: one of two (`docker pause`)", "containers worker", SETTLED)
def _worker_hangs(stack: Stack) -> Iterator[None]:
    worker = stack.ids("worker")[0]
    stack.pause(worker)
    yield
    stack.unpause(worker)


@broken("beat hangs, and a task of each hour is due since two", "schedules late", SETTLED)
def _beat_hangs(stack: Stack) -> Iterator[None]:
    beat = stack.one("beat")
    stack.pause(beat)
    stack.manage(
        "from datetime import timedelta; from django.utils.timezone import now\n"
        "from django_celery_beat.models import IntervalSchedule, PeriodicTask\n"
        "every, _ = IntervalSchedule.objects.get_or_create(every=1, period='hours')\n"
        "PeriodicTask.objects.create(name='hourly', task='durable.housekeeping.tasks.purge_seen',"
        " interval=every, last_run_at=now() - timedelta(hours=3))"
    )
    yield
    stack.sql("DELETE FROM django_celery_beat_periodictask WHERE name = 'hourly'")
    stack.unpause(beat)


@broken("the broker evicts (`maxmemory-policy allkeys-lru`)", "broker policy")
def _evicts(stack: Stack) -> Iterator[None]:
    stack.redis("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    yield
    stack.redis("CONFIG", "SET", "maxmemory-policy", "noeviction")


@broken("the broker is full", "broker memory")
def _full(stack: Stack) -> Iterator[None]:
    used = stack.redis("INFO", "memory").partition("used_memory:")[2].split()[0]
    stack.redis("CONFIG", "SET", "maxmemory", used)
    yield
    stack.redis("CONFIG", "SET", "maxmemory", "256mb")


@broken("a transaction is open for five minutes", "database transactions")
def _open(stack: Stack) -> Iterator[None]:
    session = "db = psycopg.connect(url, application_name='report'); db.execute('SELECT 1')"
    process = stack.python(session + HOLD)
    yield
    process.communicate()


@broken("a lock is held that others wait for", "database locks")
def _lock(stack: Stack) -> Iterator[None]:
    lock = "db.execute('LOCK TABLE durable_accounts_token')"
    holds = stack.python(f"db = psycopg.connect(url, application_name='report'); {lock}{HOLD}")
    # It ends with the first one, whose lock it then has.
    waits = stack.python(f"db = psycopg.connect(url); print(flush=True); {lock}")
    yield
    for process in (holds, waits):
        process.communicate()


@broken("connections are nearly all taken", "database connections")
def _connections(stack: Stack) -> Iterator[None]:
    process = stack.python(f"held = [psycopg.connect(url) for _ in range(115)]{HOLD}")
    yield
    process.communicate()


@broken("a migration is missing", "schema")
def _migration(stack: Stack) -> Iterator[None]:
    def migrate(*target: str) -> None:
        command = ("python", "manage.py", "migrate", "--verbosity", "0", *target)
        stack.compose("run", "--rm", "--no-deps", "migrate", *command)

    migrate("durable_canary", "zero")
    yield
    migrate()


def _row(what: str, line: str, task: str, more: str) -> None:
    """Break it by a row of the queue, which *more* changes."""

    def made(stack: Stack) -> Iterator[None]:
        stack.manage(
            "from django.utils.timezone import now; from durable.queue.models import Task\n"
            f"Task.objects.create(task_id='1', task={task!r}, headers='{{}}',"
            f" body='[[], {{}}, {{}}]', {more})"
        )
        yield
        stack.sql("DELETE FROM durable_task WHERE task_id = '1'")

    broken(what, line)(made)


PURGE = "durable.housekeeping.tasks.purge_seen"
_row("a task is in quarantine", "queue quarantine", PURGE, "queue='mail', quarantined_at=now()")
_row("a queue has no worker", "queue ready", PURGE, "queue='video'")
_row("a row waits for a task that is gone", "tasks gone", "gone", "queue='mail'")


@broken("the last proven backup is two days old", "backup")
def _backup(stack: Stack) -> Iterator[None]:
    change = "UPDATE durable_backups_backup SET dumped_at = dumped_at {} interval '2 days'"
    stack.sql(change.format("-"))
    yield
    stack.sql(change.format("+"))


@broken("worker has another image", "containers image")
def _image(stack: Stack) -> Iterator[None]:
    other = f"{stack.name}:other"
    file = f"FROM {stack.image}\nENV APP_VERSION=2.0.0\n"
    run("docker", "build", "--quiet", "--tag", other, "-", input=file)
    up = ("up", "--detach", "--wait", "--no-deps", "--no-build", "worker")
    stack.compose(*up, APP_IMAGE=other)
    yield
    stack.compose(*up)
    run("docker", "image", "rm", other)


@broken("the disk for mail is full", "disk /volumes/mail")
def _disk(stack: Stack) -> Iterator[None]:
    web = ("docker", "exec", stack.one("web"), "sh", "-c")
    run(*web, "head -c 1G /dev/zero >/volumes/mail/full", check=False)
    yield
    run(*web, "rm /volumes/mail/full")


def settled(stack: Stack, line: str, seconds: float) -> Report:
    """Return what the doctor says once it says *line*, and the same lines for so many *seconds*."""
    last: list[tuple[str, str, str]] = []
    since = time.monotonic()

    def asked() -> Report | None:
        nonlocal last, since
        report, now = stack.doctor(), time.monotonic()
        keys = [(row["part"], row["name"], row["level"]) for row in report.bad]
        if keys != last or not report.has(line):
            last, since = keys, now
        return report if report.has(line) and now - since >= seconds else None

    found: Report = wait_until(asked, f"the doctor says {line}", PATIENCE, pause=5)
    return found


def write(what: str, report: Report) -> None:
    """Write one row into the page."""
    table = in_markdown(HEAD, [(what, str(report.code), report.cell())], words=3)
    write_rows(PAGE, "doctor", table, [HEALTHY, *BROKEN], last=None)
    print(f"{what}: {report.code}\n  " + report.cell().replace("<br>", "\n  "), flush=True)


def main(words: list[str]) -> None:
    """Break what *words* choose; all without."""
    # However it ends, the stack is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    chosen = [what for word in words or [""] for what in BROKEN if word in what]
    with Stack() as stack:
        for verb in ("dump", "drill"):
            run("deploy/compose/backup", verb, env=stack.env, cwd=stack.folder)

        def healthy() -> Report | None:
            report = stack.doctor()
            return None if report.code else report

        write(HEALTHY, wait_until(healthy, "the doctor finds nothing", PATIENCE))
        for what in chosen:
            made, line, seconds = BROKEN[what]
            with made(stack):
                write(what, settled(stack, line, seconds))
            wait_until(healthy, f"the doctor finds nothing after: {what}", PATIENCE, pause=5)


if __name__ == "__main__":
    main(sys.argv[1:])
