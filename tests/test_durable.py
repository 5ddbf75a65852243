"""Durable tasks on real workers: what Celery's options and endings become."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import states
from django.db import connection

from durable.queue import conf, store
from durable.queue.endings import actions
from durable.queue.models import Task, Worker
from proj.celery import app
from tests import durable_tasks as tasks
from tests import probe_tasks
from tests.fixtures_durable import (
    TASKS,
    all_done,
    hears,
    names,
    send,
    started,
)
from tests.fixtures_worker import PATIENCE, StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]


def process_of(marks: list[Path]) -> int:
    """Return the process of the task whose mark is in *marks* (``tests.durable_tasks.gate``)."""
    return int(marks[0].stem.rsplit("-", 1)[1])


def test_every_task_runs_once_and_its_result_can_be_had(start_role: StartRole) -> None:
    start_role("worker", **TASKS)
    results = send(tasks.effect, names(50))
    assert [result.get(timeout=180) for result in results] == names(50)
    assert tasks.effects() == dict.fromkeys(names(50), 1)
    assert all_done()


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_every_pool_goes_through_the_ledger(start_role: StartRole, pool: str) -> None:
    start_role("worker", "--pool", pool, **TASKS)
    [result] = send(tasks.effect, ["a"])
    assert result.get(timeout=180) == "a"
    # A message of the broker's can't pass for a row.
    plain = tasks.effect.apply_async(["b"], headers={conf.HEADER: [10**9, 0, "x"]})
    assert plain.get(timeout=180) == "b"
    assert tasks.effects() == {"a": 1, "b": 1}


def database_time(query: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(query)
        [found] = cursor.fetchone()
    assert isinstance(found, datetime)
    return found


def test_retries_and_times_come_from_the_table(start_role: StartRole) -> None:
    start_role("worker", **TASKS)
    retried = tasks.retries.delay_on_commit("r", 2, 0.2)
    called_at = database_time("SELECT clock_timestamp()")
    later = tasks.effect.apply_async_on_commit(["later"], countdown=1)
    assert retried.get(timeout=180) == 2
    assert later.get(timeout=180) == "later"
    began_at = database_time("SELECT at FROM test_effect WHERE label = 'later'")
    assert began_at - called_at >= timedelta(seconds=1)
    assert tasks.effects() == {f"r-{retried.id}": 1, "later": 1}
    assert all_done()


def test_the_progress_of_a_long_task_is_seen_while_it_works(
    start_role: StartRole, tmp_path: Path
) -> None:
    start_role("worker", **TASKS)
    result = tasks.tells_progress.delay_on_commit(str(tmp_path))
    wait_for(started(tmp_path, 1), "it works")
    assert (result.state, result.info) == ("PROGRESS", {"done": 1})
    (tmp_path / "go").touch()
    assert result.get(timeout=180) == "all"


def test_what_expires_before_it_starts_is_revoked_and_gone(start_role: StartRole) -> None:
    start_role("beat", **TASKS)  # it looks too: there may be no worker
    waiting = tasks.effect.apply_async_on_commit(["a"], expires=0.5)
    never = tasks.effect.apply_async_on_commit(["b"], expires=0.5, countdown=3600)
    wait_for(all_done, "they have expired")
    start_role("worker", **TASKS)
    send(tasks.effect, ["after"])[0].get(timeout=180)
    assert tasks.effects() == {"after": 1}
    assert (waiting.state, never.state) == (states.REVOKED, states.REVOKED)


def test_a_revoked_task_is_gone(start_role: StartRole) -> None:
    start_role("worker", **TASKS)
    wait_for(hears, "it hears")
    # As `celery control` and Flower send it, which know of no rows.
    for command, more in (("revoke", {}), ("terminate", {"signal": "TERM"})):
        waits = tasks.effect.apply_async_on_commit(["waits"], countdown=600)
        [reply] = app.control.broadcast(
            command, {"task_id": [waits.id], **more}, reply=True, timeout=60, limit=1
        )
        assert "ok" in next(iter(reply.values()))
        assert (waits.state, all_done()) == (states.REVOKED, True)
    app.control.revoke("revoked-id", reply=True, timeout=60, limit=1)
    tasks.gate.apply_async_on_commit(["a", "nowhere"], task_id="revoked-id")
    wait_for(all_done, "it is gone")
    wait_for(tasks.effects, "the project was told")
    assert tasks.effects() == {"a was revoked": 1}
    assert app.AsyncResult("revoked-id").state == states.REVOKED


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGQUIT"], ids=["a client's", "a worker's"])
def test_a_task_that_a_person_terminates_is_gone_with_its_process(
    start_role: StartRole, tmp_path: Path, signal: str
) -> None:
    start_role("worker", **TASKS)
    [result] = send(tasks.gate, ["a"], str(tmp_path))
    pid = process_of(wait_for(started(tmp_path, 1), "it runs"))

    def is_shown() -> bool:
        [active] = app.control.inspect(timeout=60, limit=1).active().values()
        return [(task["id"], task["worker_pid"]) for task in active] == [(result.id, pid)]

    wait_for(is_shown, "its worker shows it with its process")
    app.control.revoke(result.id, terminate=True, signal=signal, reply=True, timeout=60, limit=1)
    wait_for(lambda: not psutil.pid_exists(pid), "its process is gone")
    wait_for(all_done, "it is gone")
    wait_for(tasks.effects, "the project was told")
    (tmp_path / "go").touch()
    [after] = send(tasks.effect, ["after"])
    after.get(timeout=180)
    assert result.state == states.REVOKED
    assert tasks.effects() == {"a was revoked": 1, "after": 1}


@pytest.mark.parametrize("batch", ["0", "10"], ids=["prefork", "a batch worker"])
def test_a_worker_ends_what_is_cancelled_and_stops_if_its_row_says_so_without_a_broker(
    start_role: StartRole, tmp_path: Path, batch: str
) -> None:
    alone = {"WORKER_BATCH": batch, "CELERY_BROKER_URL": "", "DURABLE_DELAY": "true"}
    role = start_role("worker", **TASKS, **alone)
    [result] = send(tasks.gate, ["a"], str(tmp_path))
    pid = process_of(wait_for(started(tmp_path, 1), "it runs"))
    assert actions.cancel(Task.objects.get().pk, "root")
    wait_for(lambda: not psutil.pid_exists(pid), "its process is gone")
    (tmp_path / "go").touch()
    [after] = send(tasks.effect, ["after"])
    after.get(timeout=180)
    assert (result.state, all_done()) == (states.REVOKED, True)
    assert tasks.effects() == {"a was revoked": 1, "after": 1}
    worker = Worker.objects.get().id
    assert store.order_stop(worker, "root")
    assert not store.order_stop(worker, "somebody else")
    assert role.process.wait(PATIENCE) == 0
    assert "told to stop by root" in role.output()


@pytest.mark.parametrize("task", [tasks.gate, tasks.plain_gate], ids=["ours", "Celery's own"])
def test_as_many_tasks_as_the_pool_has_processes_can_be_terminated_and_others_run(
    start_role: StartRole, tmp_path: Path, task: Any
) -> None:
    start_role("worker", **TASKS)
    results = [task.delay(label, str(tmp_path)) for label in ("a", "b")]
    pids = [process_of([path]) for path in wait_for(started(tmp_path, 2), "they run")]
    ids = [result.id for result in results]
    app.control.revoke(ids, terminate=True, reply=True, timeout=60, limit=1)
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), "their processes are gone")
    assert tasks.effect.delay("after").get(timeout=180) == "after"
    assert [result.state for result in results] == [states.REVOKED] * 2


def test_a_task_beyond_its_time_limit_has_failed_is_gone_and_is_told_so(
    start_role: StartRole,
) -> None:
    start_role("worker", **TASKS)
    result = tasks.stubborn.apply_async_on_commit(
        ["a"], time_limit=2, soft_time_limit=1, link_error=tasks.effect.si("told")
    )
    wait_for(lambda: result.state == states.FAILURE, "it has failed")
    wait_for(lambda: "told" in tasks.effects() and all_done(), "its error callback was called")
    assert tasks.effects() == {"a: TimeLimitExceeded": 1, "told": 1}


def test_a_task_that_the_workers_do_not_know_yet_waits_for_those_that_do(
    start_role: StartRole,
) -> None:
    old = start_role("worker", **{**TASKS, "CELERY_IMPORTS": "tests.probe_tasks"})
    told = tasks.effect.si("it has failed")
    result = tasks.effect.apply_async_on_commit(["a"], link_error=told)
    assert probe_tasks.add.delay_on_commit(1, 2).get(timeout=180) == 3  # it stands in no one's way
    row = Task.objects.get()
    assert (row.worker, row.history, result.state) == (None, [], states.PENDING)
    start_role("worker", "-n", "new@%h", **TASKS)
    old.stop()
    assert result.get(timeout=180) == "a"
    wait_for(all_done, "it is done")
    assert tasks.effects() == {"a": 1}
    assert "Traceback" not in old.output()


def test_a_plain_message_of_an_unknown_task_has_failed_as_in_celery(start_role: StartRole) -> None:
    start_role("worker", **{**TASKS, "CELERY_IMPORTS": "tests.probe_tasks"})
    result = tasks.effect.delay("a")
    wait_for(lambda: result.state == states.FAILURE, "it has failed")


def test_a_rate_limit_holds_rows_back_until_the_worker_stops(start_role: StartRole) -> None:
    worker = start_role("worker", **TASKS)
    wait_for(hears, "it hears")
    app.control.rate_limit(tasks.effect.name, "1/h", reply=True, timeout=60, limit=1)
    send(tasks.effect, names(3))
    wait_for(tasks.effects, "the first has run")
    wait_for(lambda: Task.objects.exclude(worker=None).count() == 2, "two are held")
    assert worker.stop() == 0
    assert [(row.worker, row.attempt, row.history) for row in Task.objects.all()] == [
        (None, 0, [])
    ] * 2
    start_role("worker", **TASKS)
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(3), 1)
