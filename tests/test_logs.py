"""LOG_FORMAT=json: what a role writes is one object a line, with the ids of whom it is about."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db import transaction

from durable.journal.models import Entry
from durable.logs.context import bind, unbind
from durable.queue.caller.calls import durable
from durable.queue.models import Task
from tests import log_tasks as tasks
from tests.fixtures_worker import PATIENCE, StartRole, wait_for
from tests.log_lines import JSON, SECRET, lines

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_in_every_pool_a_task_logs_once_and_hands_the_id_to_what_it_calls(
    start_role: StartRole, pool: str
) -> None:
    worker = start_role("worker", f"--pool={pool}", **{**JSON, "LOG_LEVEL": "DEBUG"})
    before = bind(request_id="asked-for")
    tasks.passes_on.delay(SECRET)
    unbind(before)
    wait_for(lambda: worker.output().count("] succeeded") == 3, "the three have run")
    tasks.breaks.delay(SECRET)
    wait_for(lambda: "raised unexpected" in worker.output(), "the last has failed")

    found = lines(worker)
    own = Counter(
        (line["event"], line["request_id"]) for line in found if line["event"].startswith("I ")
    )
    # What a task prints has its ids, too; once though parent and children share the handlers.
    assert own == {
        ("I pass on", "asked-for"): 1, ("I print", "asked-for"): 1, ("I speak", "asked-for"): 2,
    }  # fmt: skip
    assert len({line["task_id"] for line in found if line["event"] == "I speak"}) == 2
    # Called by no request: nothing is left of the ones before, in the same process.
    failed = [line for line in found if line.get("task") == "tests.log_tasks.breaks"]
    assert len(failed) == 2
    assert not any("request_id" in line for line in failed)
    assert failed[-1]["level"] == "error"
    assert failed[-1]["exception"].endswith("ValueError: broken")
    assert SECRET not in worker.output()


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("batch", ["0", "10"], ids=["prefork", "batch"])
def test_no_line_has_a_secret_argument_whatever_the_task_says(
    start_role: StartRole, form: str, batch: str
) -> None:
    env = {**JSON, "LOG_FORMAT": form, "LOG_LEVEL": "DEBUG", "WORKER_BATCH": batch}
    worker = start_role("worker", **env)
    tasks.tells.delay_on_commit(SECRET)
    if batch == "0":
        tasks.tells.delay(SECRET)
    times = 1 + (batch == "0")
    wait_for(lambda: worker.output().count("raised unexpected") == times, "all have failed")
    assert worker.output().count("I tell [redacted]") == times
    assert worker.output().count("ValueError: not [redacted]") >= times, "the traceback"
    assert SECRET not in worker.output()


@pytest.mark.parametrize("batch", ["0", "10"], ids=["prefork", "batch"])
def test_nor_has_one_that_is_written_while_no_attempt_runs(
    start_role: StartRole, batch: str
) -> None:
    worker = start_role("worker", **JSON, WORKER_BATCH=batch)
    # A batch shares what it knows to be short.
    tasks.loses.delay_on_commit("").get(timeout=PATIENCE)
    with transaction.atomic():
        calls = [tasks.loses.delay_on_commit(word) for word in ("", SECRET, "")]
    assert [call.get(timeout=PATIENCE) for call in calls] == [None] * 3
    unsendable = tasks.says.si("told").set(serializer="of another planet")
    tasks.hangs.delay_on_commit(SECRET)
    for task in (tasks.tells, tasks.hangs):
        task.apply_async_on_commit((SECRET,), link_error=unsendable)
    expected = "I have failed with [redacted]", "nor [redacted]", "of another planet"
    wait_for(lambda: all(word in worker.output() for word in expected), "the worker tells of all")
    rows = Task.objects.filter(error__contains="of another planet")
    wait_for(rows.count, "what can't be recorded is tried again")
    kept = [*Task.objects.values_list("history", "error"), *Entry.objects.values_list("history")]
    kept += Entry.objects.values_list("body", "result", "traceback")
    assert "away with [redacted]" in str(kept), worker.output()
    assert SECRET not in worker.output() + str(kept)


@pytest.mark.parametrize("batch", ["0", "10"], ids=["prefork", "batch"])
def test_with_the_setting_a_tasks_statements_say_whose_they_are(
    start_role: StartRole, batch: str
) -> None:
    start_role("worker", **JSON, SQL_COMMENTS="true", WORKER_BATCH=batch)
    before = bind(request_id="asked-for")
    call = tasks.asks.delay_on_commit()
    unbind(before)
    says = f"/* request_id=asked-for task_id={call.id} task={tasks.asks.name} */ "
    assert call.get(timeout=PATIENCE) == f"{says}SELECT current_query()"


def test_a_retry_and_what_follows_in_a_chain_keep_the_id(start_role: StartRole) -> None:
    worker = start_role("worker", **JSON)
    before = bind(request_id="asked-for")
    tasks.tries_again.delay()
    tasks.tries_again.delay_on_commit()
    (tasks.says.si("first") | tasks.says.si("second")).delay()
    with durable():
        (tasks.says.si("first") | tasks.says.si("second")).delay()
    unbind(before)
    wait_for(lambda: worker.output().count("] succeeded") == 6, "all have run")
    own = Counter(
        (line["event"], line.get("request_id"))
        for line in lines(worker)
        if line["event"].startswith("I ")
    )
    assert own == {("I try", "asked-for"): 4, ("I speak", "asked-for"): 4}


def test_beat_writes_json_from_its_first_line_to_its_last(start_role: StartRole) -> None:
    assert {line["role"] for line in lines(start_role("beat", **JSON))} == {"beat"}


def test_a_migration_writes_json_as_well(start_role: StartRole) -> None:
    migrate = start_role("migrate", **JSON)
    assert migrate.process.wait(180) == 0
    events = [line["event"] for line in lines(migrate)]
    assert "Running migrations:" in events


def test_text_stays_as_it_is_and_still_hands_on_the_id(start_role: StartRole) -> None:
    worker = start_role("worker", **{**JSON, "LOG_FORMAT": "text"})
    before = bind(request_id="asked-for")
    tasks.says.delay("a word")
    unbind(before)
    worker.wait_for_line("succeeded in")
    assert "asked-for" not in worker.output()
    assert "[tasks]" in worker.output()  # Celery's banner
