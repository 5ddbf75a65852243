"""Workers whose tasks share transactions: what dies, is cut off or stopped in a batch."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from durable.queue.caller.calls import durable
from durable.queue.models import Task
from tests import batch_tasks as more
from tests import durable_tasks as tasks
from tests.fixtures_durable import all_done, main_process, quarantined, started
from tests.fixtures_worker import PATIENCE, ROOT, Role, StartRole, wait_for
from tests.test_pools import POOL_TASKS

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]

BATCHES = {
    **POOL_TASKS, "WORKER_BATCH": "100", "TEST_BATCH_SECONDS": "60",
    "CELERY_WORKER_CONCURRENCY": "1", "DURABLE_MAX_ATTEMPTS": "2",
}  # fmt: skip


def batch(label: str, how: str, **options: Any) -> Any:
    """Call ``naps`` between others, all of which are known to be quick by now."""
    with durable():
        more.naps.delay(f"{label} before")
        result = more.naps.apply_async((label, how), **options)
        more.naps.delay(f"{label} after")
    return result


def happened(expected: dict[str, int]) -> bool:
    return tasks.effects() == expected


def start(start_role: StartRole, **variables: str) -> Role:
    role = start_role("worker", **{**BATCHES, **variables})
    # Known to be quick from now on; and several rows are taken at once.
    for label in ("first", "second", "third"):
        batch(label, "").get(timeout=PATIENCE)
    wait_for(all_done, "they have ended")
    tasks.truncate()
    return role


def test_a_task_that_kills_its_process_its_connection_or_its_time_leaves_its_batch_unharmed(
    start_role: StartRole,
) -> None:
    role = start(start_role)
    endings = {
        "die": ("Quarantined", {}),
        "exit": ("Quarantined", {}),
        "stubborn": ("TimeLimitExceeded", {"soft_time_limit": 1, "time_limit": 2}),
        "cut once": ("str", {}),
    }
    for how, (end, options) in endings.items():
        result = batch(how, how, **options)
        wait_for(result.ready, f"{how} has ended")
        assert type(result.result).__name__ == end, role.output()
        expected = {f"{how} before": 1, f"{how} after": 1, how: 1}
        if end != "str":
            expected = {f"{how} before": 1, f"{how} after": 1, f"{how}: {end}": 1}
        wait_for(partial(happened, expected), f"{expected}")
        tasks.truncate()
    assert [row.attempt - row.clean_attempt for row in quarantined()] == [2, 2]
    assert all_done()
    assert role.output().count("Hard time limit") == 1


def test_a_time_limit_that_cannot_be_recorded_counts_as_a_crash(start_role: StartRole) -> None:
    role = start(start_role)
    unsendable = tasks.effect.si("told").set(serializer="of another planet")
    result = batch("over", "stubborn", soft_time_limit=1, time_limit=2, link_error=unsendable)
    wait_for(result.ready, "it has ended")
    assert type(result.result).__name__ == "Quarantined", role.output()
    [row] = quarantined()
    assert row.attempt - row.clean_attempt == 2
    assert "of another planet" in row.error
    expected = {"over before": 1, "over after": 1, "over: Quarantined": 1}
    wait_for(partial(happened, expected), f"{expected}")


def test_the_tasks_of_a_killed_supervisor_run_elsewhere_and_its_processes_end(
    start_role: StartRole, tmp_path: Path
) -> None:
    role = start(start_role)
    result = batch("gate", str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    main = main_process(role)
    [child] = main.children()
    main.kill()
    start_role("worker", **BATCHES)
    wait_for(started(tmp_path, 2), "it runs elsewhere")
    (tmp_path / "go").touch()
    assert result.get(timeout=180) == "gate"
    wait_for(all_done, "all have ended")
    psutil.wait_procs([child], timeout=180)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert tasks.effects() == {"gate before": 1, "gate": 1, "gate after": 1}


def test_a_batch_that_is_stopped_goes_back_and_counts_for_nothing(
    start_role: StartRole, tmp_path: Path
) -> None:
    role = start(start_role)
    result = batch("gate", str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    assert role.stop() == 0
    rows = Task.objects.order_by("pk")
    assert [(row.worker, row.started_at, row.attempt - row.clean_attempt) for row in rows] == [
        (None, None, 0)
    ] * 3
    (tmp_path / "go").touch()
    start_role("worker", **BATCHES)
    assert result.get(timeout=180) == "gate"
    wait_for(all_done, "all have ended")
    assert tasks.effects() == {"gate before": 1, "gate": 1, "gate after": 1}


def test_a_batch_worker_is_set_up_as_any_other(start_role: StartRole, tmp_path: Path) -> None:
    role = start_role(
        "worker", "-c", "1",
        **{
            **POOL_TASKS, "WORKER_BATCH": "10", "WORKER_QUEUES": "mail", "LOG_FORMAT": "json",
            "CELERY_WORKER_MAX_TASKS_PER_CHILD": "2", "TEST_FOLDER": str(tmp_path),
            "CELERY_TASK_DEFAULT_RATE_LIMIT": "1/h",
        },
    )  # fmt: skip
    with durable():
        other = tasks.effect.delay("a")  # of another queue
        results = [tasks.effect.apply_async(["b"], queue="mail") for _ in range(3)]
    assert [result.get(timeout=180) for result in results] == ["b"] * 3
    wait_for(lambda: len(list(tmp_path.glob("process-*"))) >= 2, "another process has started")
    assert len(main_process(role).children()) <= 1
    assert other.state == "PENDING"
    healthy = subprocess.run(
        [ROOT / "docker/healthcheck", "worker"], capture_output=True, text=True, check=False,
        env={**os.environ, "HEARTBEAT_DIR": str(tmp_path / "heartbeat-1")},
    )  # fmt: skip
    assert healthy.stdout.startswith("ok: worker: beat")
    lines = [json.loads(line) for line in role.output().splitlines()]
    said = [line for line in lines if "rate_limit" in str(line)]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"WORKER_BATCH": "many"}, "WORKER_BATCH='many': expected a whole number, 0 or more\n"),
        (
            {"WORKER_BATCH": "10", "CELERY_TASK_REJECT_ON_WORKER_LOST": "false"},
            "worker does not start: its settings would lose or double work.\nproj.E011",
        ),
    ],
)
def test_a_batch_worker_does_not_start_with_wrong_settings_and_says_which(
    start_role: StartRole, variables: dict[str, str], why: str
) -> None:
    with pytest.raises(pytest.fail.Exception, match="the process ended with 1") as failed:
        start_role("worker", **{**POOL_TASKS, **variables})
    assert why in str(failed.value)
    assert "Traceback" not in str(failed.value)
