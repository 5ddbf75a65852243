"""Tasks that share a transaction, in this process: what one does leaves the others alone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.db import connection, transaction

from durable.queue import store
from durable.queue.batch import process as batch
from durable.queue.batch.slots import Slot
from durable.queue.caller.calls import durable
from durable.queue.models import Task
from durable.queue.worker import attempt as attempts
from proj.celery import app
from tests import batch_tasks as more
from tests import durable_tasks as tasks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("effect_table"),
]

ME = "this test"
Serve = Callable[[], None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterable[Serve]:
    """Give what runs all rows, those that may share a transaction in one."""
    monkeypatch.setattr(batch, "BUDGET", 600.0)
    monkeypatch.setattr(batch, "STALE", 600.0)
    process = batch.Process(app, ME, "batch@test", Slot(), ["default"], 100)
    process._times = dict.fromkeys(app.tasks, 0.0)  # each is known to be quick
    monkeypatch.setattr(attempts, "make", process.make_attempt)
    before = signal.signal(signal.SIGALRM, process._soft_limit)

    def run() -> None:
        process.serve(store.take(ME, store.lanes(["default"]), 100))

    yield run
    signal.signal(signal.SIGALRM, before)


def call(*calls: tuple[Any, ...], **options: Any) -> list[Any]:
    with durable():
        return [task.apply_async(args, **options) for task, *args in calls]


def among_others(task: Any, *args: Any, **options: Any) -> Any:
    with durable():
        tasks.effect.delay("before")
        result = task.apply_async(args, **options)
        tasks.effect.delay("after")
    return result


@pytest.mark.parametrize("how", ["python", "query"])
def test_a_soft_limit_ends_one_task_of_a_batch(serve: Serve, how: str) -> None:
    result = among_others(more.naps, "a", how, soft_time_limit=0.2, time_limit=60)
    serve()
    assert type(result.result).__name__ == "SoftTimeLimitExceeded"
    assert tasks.effects() == {"before": 1, "after": 1, "a: SoftTimeLimitExceeded": 1}


def test_a_callback_that_raises_after_the_commit_keeps_no_other_from_being_called(
    serve: Serve,
) -> None:
    call((more.calls_back, "a", "callback"), (more.calls_back, "b"))
    serve()
    assert tasks.effects() == dict.fromkeys(["a", "a-committed", "b", "b-committed"], 1)


def test_what_waits_for_the_commit_is_of_its_own_task(serve: Serve) -> None:
    call((more.calls_back, "a"), (more.calls_back, "b", "task"), (more.calls_back, "c"))
    serve()
    assert tasks.effects() == dict.fromkeys(["a", "a-committed", "c", "c-committed"], 1)


def test_a_batch_that_waits_for_another_in_a_circle_runs_one_by_one(serve: Serve) -> None:
    """The other one is a session of this test's, which holds what the second task wants."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE test_lock AS SELECT generate_series(1, 2) AS id")
    try:
        results = call((more.locks, 1), (more.locks, 2))
        with other_session() as other:
            other.execute("BEGIN")
            other.execute("SET LOCAL deadlock_timeout = '60s'")  # not this one is to be ended
            other.execute("SELECT FROM test_lock WHERE id = 2 FOR UPDATE")
            thread = threading.Thread(target=wants_the_first, args=[other])
            # Once the second task waits for this session, that wants what the first has.
            more.locks.before = lambda number: thread.start() if not thread.ident and number == 2 \
                else None
            serve()
            thread.join()
        assert [result.result for result in results] == [1, 2]
        assert tasks.effects() == {"1": 1, "2": 1}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE test_lock")
