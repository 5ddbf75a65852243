"""A worker stops when it is told to: as soon as its tasks end, and what it can't finish goes back.

No test asserts a time: where a timeout is 600 s, a worker that waits for it fails by the 180 s that
each test waits for a process at most.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import states
from django.db import transaction

from durable.health.tests.healthcheck import healthcheck
from durable.queue.models import Task, Worker
from tests import durable_tasks as tasks
from tests import probe_tasks
from tests.fixtures_durable import TASKS, all_done, client, names, send, started
from tests.fixtures_worker import Role, StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]

PATIENT = {
    **TASKS,
    "CELERY_IMPORTS": "tests.durable_tasks,tests.probe_tasks",
    "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT": "600",
    "WORKER_GRACE_PERIOD": "700",
}
HASTY = {**PATIENT, "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT": "1"}
UNACKED = "unacked"


def tell(worker: Role) -> None:
    """Tell the worker to stop, and wait until it has heard it."""
    worker.process.terminate()
    worker.wait_for_line("told to stop")


def waiting(count: int) -> None:
    """Wait until the broker has *count* messages in the queue."""
    wait_for(lambda: client().llen("default") == count, f"{count} messages wait in the broker")


def nothing_is_unacknowledged() -> bool:
    return not client().exists(UNACKED)


def finished_elsewhere(start_role: StartRole, folder: Path, *labels: str) -> None:
    """Let the tasks go on, in a second worker; each of *labels* then has its effect once."""
    (folder / "go").touch()
    start_role("worker", "-n", "second@%h", **HASTY)
    wait_for(all_done, "all is done, elsewhere")
    assert tasks.effects() == dict.fromkeys(labels, 1)


def test_an_idle_worker_stops_with_status_0(start_role: StartRole) -> None:
    assert start_role("worker", **PATIENT).stop() == 0
    assert not Worker.objects.exists()


def test_a_worker_stops_as_soon_as_its_tasks_end(start_role: StartRole, tmp_path: Path) -> None:
    worker = start_role("worker", **PATIENT)
    results = send(tasks.gate, names(2), str(tmp_path))
    wait_for(started(tmp_path, 2), "both slots are busy")
    tell(worker)
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0
    assert [result.get() for result in results] == names(2)
    assert tasks.effects() == dict.fromkeys(names(2), 1)
    assert nothing_is_unacknowledged()
    assert client().llen("default") == 0


def test_what_nobody_has_begun_goes_back_at_once_and_nothing_more_is_taken(
    start_role: StartRole, tmp_path: Path
) -> None:
    worker = start_role("worker", "-c", "1", CELERY_WORKER_PREFETCH_MULTIPLIER="4", **PATIENT)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    plain = [probe_tasks.add.delay(1, 2) for _ in range(3)]
    waiting(0)  # all prefetched
    tell(worker)
    waiting(3)
    send(tasks.effect, ["b"])
    plain.append(probe_tasks.add.delay(1, 2))
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0
    assert client().llen("default") == 4
    assert tasks.effects() == {"a": 1}
    start_role("worker", **PATIENT)
    assert [result.get(timeout=180) for result in plain] == [3] * 4
    wait_for(all_done, "all are done")
    assert tasks.effects() == {"a": 1, "b": 1}


def test_rows_that_a_busy_worker_held_ahead_go_back_untouched(
    start_role: StartRole, tmp_path: Path
) -> None:
    worker = start_role("worker", "-c", "1", **PATIENT)
    before, after = names(300)[:200], names(300)[200:]
    with transaction.atomic():
        send(tasks.effect, before)
        send(tasks.gate, ["a"], str(tmp_path))
        send(tasks.effect, after)
    wait_for(started(tmp_path, 1), "it has come to the gate, and is ahead of it")
    tell(worker)
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0
    assert tasks.effects() == dict.fromkeys([*before, "a"], 1)
    rows = Task.objects.values_list("worker", "started_at", "attempt", "history")
    assert list(rows) == [(None, None, 0, [])] * 100


def test_what_went_back_stands_in_front_of_what_came_later(
    start_role: StartRole, tmp_path: Path
) -> None:
    worker = start_role("worker", "-c", "1", CELERY_WORKER_PREFETCH_MULTIPLIER="2", **PATIENT)
    probe_tasks.gate.delay(str(tmp_path))
    wait_for((tmp_path / "runs").exists, "it runs")
    first = probe_tasks.add.delay(1, 1)
    waiting(0)
    probe_tasks.add.delay(2, 2)
    waiting(1)
    tell(worker)
    waiting(2)
    assert first.id.encode() in client().lindex("default", -1)  # the next one to be taken
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0


def test_what_waits_for_its_time_goes_back_too(start_role: StartRole, tmp_path: Path) -> None:
    worker = start_role("worker", "-c", "1", **PATIENT)
    probe_tasks.add.apply_async((1, 1), countdown=3600)
    wait_for(lambda: client().hlen(UNACKED) == 1, "the worker holds it")
    probe_tasks.gate.delay(str(tmp_path))
    wait_for((tmp_path / "runs").exists, "it runs")
    tell(worker)
    waiting(1)
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0


@pytest.mark.parametrize("task", [tasks.gate, tasks.long_gate])
def test_tasks_that_take_too_long_are_handed_back_and_count_once(
    start_role: StartRole, tmp_path: Path, task: Any
) -> None:
    worker = start_role("worker", **HASTY)
    results = send(task, names(2), str(tmp_path))
    wait_for(started(tmp_path, 2), "both slots are busy")
    assert worker.stop() == 0
    for row in Task.objects.all():
        assert (row.worker, row.clean_attempt) == (None, row.attempt)  # no crash
    finished_elsewhere(start_role, tmp_path, *names(2))
    assert [result.state for result in results] == [states.SUCCESS] * 2


def test_a_plain_task_that_takes_too_long_runs_elsewhere(
    start_role: StartRole, tmp_path: Path
) -> None:
    worker = start_role("worker", **HASTY)
    result = probe_tasks.gate.delay(str(tmp_path))
    wait_for((tmp_path / "runs").exists, "it runs")
    assert worker.stop() == 0
    waiting(1)
    assert nothing_is_unacknowledged()
    (tmp_path / "go").touch()
    start_role("worker", "-n", "second@%h", **HASTY)
    assert result.get(timeout=180) == 2


def test_a_task_that_is_deaf_is_handed_back_as_well(start_role: StartRole, tmp_path: Path) -> None:
    worker = start_role("worker", "-c", "1", **HASTY)
    send(tasks.deaf, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    assert worker.stop() == 0
    finished_elsewhere(start_role, tmp_path, "a")


def test_a_time_limit_holds_while_the_worker_stops(start_role: StartRole) -> None:
    worker = start_role("worker", **PATIENT)
    result = tasks.stubborn.apply_async_on_commit(["a"], soft_time_limit=4, time_limit=5)
    # A busy machine may look only when its time is over.
    wait_for(lambda: result.state != states.PENDING, "it runs")
    tell(worker)
    assert worker.process.wait(180) == 0
    assert result.state == states.FAILURE
    assert not Task.objects.filter(task_id=result.id).exists()


def test_a_second_signal_ends_the_waiting(start_role: StartRole, tmp_path: Path) -> None:
    worker = start_role("worker", **PATIENT)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    tell(worker)
    worker.process.terminate()
    assert worker.process.wait(180) == 0
    row = Task.objects.get()
    assert (row.worker, row.clean_attempt) == (None, row.attempt)


def test_a_worker_is_alive_while_it_stops(start_role: StartRole, tmp_path: Path) -> None:
    """For the health check, and by its signs of life: a long timeout is no death."""
    folder = tmp_path / "run"
    folder.mkdir()
    worker = start_role("worker", HEARTBEAT_DIR=str(folder), HEARTBEAT_MAX_AGE="6", **PATIENT)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    wait_for((folder / "proj-worker.heartbeat").exists, "its heart beats")
    tell(worker)
    seen: set[str] = set()

    def beaten() -> bool:
        health = healthcheck("worker", HEARTBEAT_DIR=str(folder))
        assert health.status == 0, health.line
        if "(stopping)" in health.line:
            seen.add((folder / "proj-worker.heartbeat").read_text())
        return len(seen) > 7  # longer than one beat lasts, and than DURABLE_DEAD_AFTER

    wait_for(beaten, "the heart goes on beating")
    assert Task.objects.get().attempt == 1
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0
    assert tasks.effects() == {"a": 1}


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools_finish_what_they_run(start_role: StartRole, tmp_path: Path, pool: str) -> None:
    worker = start_role("worker", "--pool", pool, **PATIENT)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    send(tasks.effect, ["b"])
    worker.process.terminate()
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0
    start_role("worker", **PATIENT)
    wait_for(all_done, "all are done")
    assert tasks.effects() == {"a": 1, "b": 1}


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools_hand_back_what_takes_too_long(
    start_role: StartRole, tmp_path: Path, pool: str
) -> None:
    worker = start_role("worker", "--pool", pool, **HASTY)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    assert worker.stop() == 0
    finished_elsewhere(start_role, tmp_path, "a")
