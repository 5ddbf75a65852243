"""Processes that die in the middle: every task runs, and counts once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from celery import states

from durable.queue.endings.janitor import Janitor
from durable.queue.models import Task, Worker
from tests import durable_tasks as tasks
from tests.fixtures_durable import (
    TASKS,
    all_done,
    main_process,
    names,
    quarantined,
    send,
    started,
)
from tests.fixtures_worker import StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]


@pytest.mark.parametrize("task", [tasks.gate, tasks.long_gate])
def test_a_killed_child_loses_nothing(start_role: StartRole, tmp_path: Path, task: Any) -> None:
    worker = start_role("worker", **TASKS)
    send(task, names(6), str(tmp_path))
    for path in wait_for(started(tmp_path, 2), "both slots are busy"):
        os.kill(int(path.stem.rsplit("-", 1)[1]), signal.SIGKILL)
    (tmp_path / "go").touch()
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(6), 1)
    assert worker.process.poll() is None


@pytest.mark.parametrize("task", [tasks.gate, tasks.long_gate])
def test_a_killed_worker_loses_nothing(start_role: StartRole, tmp_path: Path, task: Any) -> None:
    worker = start_role("worker", **TASKS)
    send(task, names(6), str(tmp_path))
    wait_for(started(tmp_path, 2), "both slots are busy")
    for process in [*main_process(worker).children(recursive=True), main_process(worker)]:
        process.kill()
    start_role("worker", "-n", "second@%h", **TASKS)
    (tmp_path / "go").touch()
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(6), 1)


def test_a_worker_that_was_frozen_and_replaced_does_not_count_twice(
    start_role: StartRole, tmp_path: Path
) -> None:
    worker = start_role("worker", "-c", "1", **TASKS)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    frozen = [*main_process(worker).children(recursive=True), main_process(worker)]
    for process in frozen:
        process.suspend()
    try:
        start_role("worker", "-n", "second@%h", **TASKS)
        wait_for(started(tmp_path, 2), "it was started again")
    finally:
        for process in frozen:
            process.resume()
    (tmp_path / "go").touch()
    wait_for(all_done, "it is done")
    send(tasks.effect, ["after"])[0].get(timeout=180)
    assert tasks.effects()["a"] == 1


def test_a_stopped_worker_hands_back_what_it_ran(start_role: StartRole, tmp_path: Path) -> None:
    worker = start_role("worker", "-c", "1", **TASKS)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    assert worker.stop() == 0
    row = Task.objects.get()
    assert (row.worker, row.clean_attempt) == (None, row.attempt)
    assert [entry["what"] for entry in row.history] == ["its worker stopped"]
    assert not Worker.objects.exists()
    (tmp_path / "go").touch()
    start_role("worker", **TASKS)
    wait_for(all_done, "it is done")
    assert tasks.effects() == {"a": 1}


@pytest.mark.parametrize("how", ["SIGKILL", "sys.exit"])
def test_a_task_that_ends_its_process_is_quarantined(start_role: StartRole, how: str) -> None:
    start_role("worker", DURABLE_MAX_ATTEMPTS="2", **TASKS)
    [bad] = send(tasks.poison, ["bad"], how)
    good = send(tasks.effect, ["good"])[0]
    assert good.get(timeout=180) == "good"
    row = wait_for(quarantined, "it is quarantined")[0]
    assert row.attempt == 2
    assert [entry["attempt"] for entry in row.history] == [1, 2]
    assert row.error == "the process that ran it died"
    assert bad.state == states.FAILURE
    wait_for(all_done, "its on_failure() was called")
    assert tasks.effects() == {"good": 1, "bad: Quarantined": 1}


def test_a_task_whose_failure_cannot_be_handled_is_quarantined(start_role: StartRole) -> None:
    start_role("worker", DURABLE_MAX_ATTEMPTS="2", **TASKS)
    unsendable = tasks.effect.si("told").set(serializer="of another planet")
    result = tasks.fails.apply_async_on_commit(["bad"], link_error=unsendable)
    row = wait_for(quarantined, "it is quarantined")[0]
    assert row.attempt == 2
    assert "of another planet" in row.error
    assert result.state == states.FAILURE
    good = send(tasks.effect, ["good"])[0]
    assert good.get(timeout=180) == "good"


def test_an_on_failure_that_raises_does_not_keep_the_failure_from_being_final(
    start_role: StartRole,
) -> None:
    start_role("worker", "-c", "1", **TASKS)
    result = tasks.stumbles.delay_on_commit("bad")
    wait_for(all_done, "its on_failure() was called again")
    assert result.state == states.FAILURE
    assert tasks.effects() == {"bad: ValueError('bad')": 1}


def test_a_task_that_asks_for_no_second_try_has_failed_with_its_process(
    start_role: StartRole,
) -> None:
    asks = '{"tests.durable_tasks.poison": {"acks_late": false}}'
    start_role("worker", CELERY_TASK_ANNOTATIONS=asks, **TASKS)
    [result] = send(tasks.poison, ["bad"])
    wait_for(lambda: result.state == states.FAILURE, "it has failed")
    wait_for(all_done, "its on_failure() was called")
    assert tasks.effects() == {"bad: WorkerLostError": 1}


def test_a_task_that_kills_the_whole_worker_is_quarantined(
    start_role: StartRole, janitor: Janitor, settings: Any
) -> None:
    settings.DURABLE_MAX_ATTEMPTS = 2
    send(tasks.poison_parent, ["bad"])
    for number in (1, 2):
        worker = start_role("worker", "-n", f"w{number}@%h", DURABLE_MAX_ATTEMPTS="2", **TASKS)
        assert worker.process.wait(180) == -signal.SIGKILL
    row = wait_for(quarantined, "it is quarantined")[0]
    assert (row.attempt, row.error) == (2, "the worker that ran it died")


def test_a_database_that_went_away_is_not_the_tasks_failure(start_role: StartRole) -> None:
    start_role("worker", **TASKS)
    [result] = send(tasks.breaks_database, ["a"])
    result.get(timeout=180)
    assert tasks.effects() == {"a": 1}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_what_is_no_ordinary_error_is_the_tasks_failure_and_the_worker_goes_on(
    start_role: StartRole, tmp_path: Path, pool: str
) -> None:
    worker = start_role("worker", "--pool", pool, **TASKS)
    for call in (tasks.raises.delay, tasks.raises.delay_on_commit):
        for name in ("MemoryError", "CancelledError", "GeneratorExit"):
            result = call(name)
            wait_for(result.ready, f"{name} is stored")
            assert (result.state, type(result.result).__name__) == ("FAILURE", name)
    if pool == "prefork":  # in the others it ends the worker
        plain = tasks.ends_its_process.delay(str(tmp_path))
        wait_for(plain.ready, "the task has failed whose process died twice")
        assert (plain.state, type(plain.result).__name__) == ("FAILURE", "WorkerLostError")
        assert len(list(tmp_path.glob("started-*"))) == 2
    [after] = send(tasks.effect, ["after"])
    assert after.get(timeout=180) == "after"
    assert worker.process.poll() is None
    assert all_done()
