"""Tasks that share a transaction, in this process: what one does leaves the others alone."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import psycopg
import pytest
from celery.backends.cache import CacheBackend
from django.db import connection

from durable.queue import store
from durable.queue.batch import process as batch
from durable.queue.batch.process import Slot
from durable.queue.caller.calls import durable
from durable.queue.models import Task
from durable.queue.worker import attempt as attempts
from proj.celery import app
from tests import batch_tasks as more
from tests import durable_tasks as tasks
from tests.fixtures_worker import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("effect_table"),
]

ME = "this test"
Serve = Callable[..., None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Give what runs all rows, those that may share a transaction in one."""
    monkeypatch.setattr(batch, "BUDGET", 600.0)
    monkeypatch.setattr(batch, "STALE", 600.0)
    process = batch.Process(app, ME, "batch@test", Slot(), ["default"], 100)
    process._times = dict.fromkeys(app.tasks, 0.0)  # each is known to be quick
    monkeypatch.setattr(attempts, "make", process.make_attempt)
    before = signal.signal(signal.SIGALRM, process._soft_limit)

    def run(between: Callable[[], Any] = lambda: None) -> None:
        rows = store.take(ME, store.lanes(["default"]), 100)
        between()
        process.serve(rows)

    yield run
    signal.signal(signal.SIGALRM, before)


def call(*calls: tuple[Any, ...]) -> list[Any]:
    with durable():
        return [task.delay(*args) for task, *args in calls]


def among_others(task: Any, *args: Any, **options: Any) -> Any:
    with durable():
        tasks.effect.delay("before")
        result = task.apply_async(args, **options)
        tasks.effect.delay("after")
    return result


@pytest.mark.parametrize("how", ["python", "query"])
def test_a_soft_limit_ends_one_task_of_a_batch(serve: Serve, how: str) -> None:
    result = among_others(more.naps, "a", how, soft_time_limit=1, time_limit=60)
    serve()
    assert type(result.result).__name__ == "SoftTimeLimitExceeded"
    assert tasks.effects() == {"before": 1, "after": 1, "a: SoftTimeLimitExceeded": 1}


def test_a_soft_limit_that_comes_before_the_body_ends_it_all_the_same(serve: Serve) -> None:
    result = among_others(more.naps, "a", "python", soft_time_limit=1e-6, time_limit=60)
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


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    settings = connection.get_connection_params()
    names = ("dbname", "user", "host", "port", "password")
    plain = {name: settings[name] for name in names if name in settings}
    with psycopg.connect(**plain, autocommit=True) as session:
        yield session


def test_batches_that_wait_for_each_other_run_one_by_one(
    serve: Serve, other: psycopg.Connection
) -> None:
    other.execute("CREATE TABLE test_lock AS SELECT generate_series(1, 2) AS id")
    other.execute("SET deadlock_timeout = '10min'")  # it is not the one to be ended
    other.execute("BEGIN")
    other.execute("SELECT FROM test_lock WHERE id = 2 FOR UPDATE")
    thread = Thread(
        target=lambda: other.execute("UPDATE test_lock SET id = 1 WHERE id = 1; COMMIT")
    )

    def let_the_other_want_the_first() -> None:
        if thread.ident:
            return
        thread.start()
        pid = other.info.backend_pid

        def waits() -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SELECT FROM pg_locks WHERE NOT granted AND pid = %s", [pid])
                return bool(cursor.rowcount)

        wait_for(waits, "the other waits")

    more.HOOKS["wait"] = let_the_other_want_the_first
    results = call((more.locks, 1), (more.does, "wait"), (more.locks, 2))
    try:
        serve()
    finally:
        thread.join()
        other.execute("DROP TABLE test_lock")
    assert [result.state for result in results] == ["SUCCESS"] * 3
    assert tasks.effects() == {"lock 1": 1, "wait": 1, "lock 2": 1}


def test_an_attempt_that_was_taken_over_in_a_batch_takes_no_other_with_it(
    serve: Serve, other: psycopg.Connection
) -> None:
    taken, _, _ = call((tasks.effect, "taken"), (more.does, "take"), (tasks.effect, "b"))
    more.HOOKS["take"] = lambda: other.execute(
        "UPDATE durable_task SET attempt = 2 WHERE task_id = %s", [taken.id]
    )
    serve()
    assert tasks.effects() == {"take": 1, "b": 1}
    assert (taken.state, Task.objects.get().attempt) == ("PENDING", 2)


def test_a_first_query_that_cannot_be_parsed_undoes_nothing_of_the_task_before(
    serve: Serve,
) -> None:
    """It goes out with the savepoint in one text, none of which is done then."""
    _, failed, _ = call((tasks.effect, "a"), (more.asks, "no SQL"), (tasks.effect, "b"))
    serve()
    assert tasks.effects() == {"a": 1, "b": 1}
    assert (failed.state, Task.objects.count()) == ("FAILURE", 0)


def test_a_row_that_has_to_wait_leaves_the_others_of_its_batch_alone(serve: Serve) -> None:
    result = among_others(tasks.effect, "a")
    row = Task.objects.filter(task_id=result.id)
    row.update(body="[")
    serve()
    assert tasks.effects() == {"before": 1, "after": 1}
    left = row.get()
    assert left.error.startswith("can't be read by a worker")
    assert (left.worker, left.clean_attempt) == (None, 1)


def test_a_database_that_goes_away_before_a_task_is_no_failure_of_it(
    serve: Serve, other: psycopg.Connection
) -> None:
    [result] = call((more.long, "a"))

    def end_its_session() -> None:
        waits = "SELECT pid FROM pg_locks WHERE NOT granted"
        [(pid,)] = wait_for(lambda: other.execute(waits).fetchall(), "it asks for its row")
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        other.execute("ROLLBACK")

    thread = Thread(target=end_its_session)

    def hold_its_row() -> None:
        other.execute("BEGIN")
        other.execute("SELECT FROM durable_task FOR UPDATE")
        thread.start()

    serve(hold_its_row)
    thread.join()
    row = Task.objects.get(task_id=result.id)
    assert (row.worker, row.attempt, row.clean_attempt) == (None, 1, 1)
    assert row.error.startswith("the database went away: ")
    Task.objects.update(due_at=row.created_at)
    serve()
    assert (result.state, tasks.effects()) == ("SUCCESS", {"a-before": 1, "a": 1})


class Away(CacheBackend):  # type: ignore[misc]
    """Can't be reached when a task begins."""

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kw: Any) -> Any:
        if state == "STARTED":
            raise ConnectionError("away")
        return super().store_result(task_id, result, state, *args, **kw)


def test_a_backend_of_its_own_that_is_away_keeps_no_task_from_running(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(more.long, "_backend", Away(app, backend="memory"))
    [result] = call((more.long, "a"))
    serve()
    assert tasks.effects() == {"a-before": 1, "a": 1}
    assert (more.long.backend.get_state(result.id), Task.objects.count()) == ("SUCCESS", 0)


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize(
    ("how", "left"),
    [("retry", "retry"), ("requeue", "rejected: 'later'"), ("retry in vain", None),
     ("retry and go on", "retry")],
)  # fmt: skip
def test_what_before_start_says_ends_an_attempt_that_has_begun_by_then(
    serve: Serve, how: str, left: str | None, others: bool
) -> None:
    """Else its row would run for ever, and be given back each time."""
    if others:
        among_others(tasks.ends_before, how)
    else:
        call((tasks.ends_before, how))
    serve()
    rows = [(row.worker, row.clean_attempt, row.history[-1]["what"]) for row in Task.objects.all()]
    assert rows == ([(None, 1, left)] if left else [])
    assert tasks.effects()[f"before {how}"] == 1
