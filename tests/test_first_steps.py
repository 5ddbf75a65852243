"""What Celery's "First steps with Django" promises, typed by hand as the page has it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.contrib.django.task import DjangoTask
from django.conf import settings

import proj
from proj.celery import app, debug_task
from proj.task import Task
from tests.fixtures_worker import StartRole, database_url, purge_queues, wait_for
from tests.probe_tasks import add, where

BIN = Path(sys.executable).parent
PROBES = {"CELERY_IMPORTS": "tests.probe_tasks"}


class ByHand:
    """``celery -A proj …`` typed in the project's folder."""

    def __init__(self, log: Path, *command: str, **variables: str) -> None:
        self.log = log
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            [BIN / "celery", "-A", "proj", *command],
            cwd=settings.BASE_DIR,
            env={**os.environ, "DATABASE_URL": database_url(), **variables},
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def has_written(self, text: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return text in self.log.read_text()

    def stop(self) -> int:
        self.process.terminate()
        status = self.process.wait(180)
        self._file.close()
        return status


def answers() -> bool:
    """Ask by hand whether a worker answers within a second, which the command gives it."""
    done = subprocess.run(
        [BIN / "celery", "-A", "proj", "inspect", "ping"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode == 0 and "pong" in done.stdout


@pytest.fixture
def worker_by_hand(tmp_path: Path, transactional_db: None) -> Iterator[ByHand]:
    purge_queues()
    worker = ByHand(tmp_path / "worker.log", "worker", "-l", "INFO", CELERY_WORKER_CONCURRENCY="1")
    wait_for(lambda: worker.has_written(" ready."), "the worker is ready")
    yield worker
    if worker.process.poll() is None:
        worker.stop()


def test_the_project_exports_its_application() -> None:
    assert proj.celery_app is app
    assert app.main == "proj"


def test_shared_tasks_belong_to_the_application() -> None:
    assert add.app is app


def test_debug_task_is_bound_and_ignores_its_result() -> None:
    assert debug_task.ignore_result is True
    assert debug_task.name == "proj.celery.debug_task"


def test_every_task_derives_from_the_projects_class_which_is_celerys_django_task() -> None:
    assert isinstance(add, Task)
    assert isinstance(add, DjangoTask)
    assert callable(add.delay_on_commit)
    assert callable(add.apply_async_on_commit)


def test_a_worker_by_hand_runs_debug_task_and_answers_a_ping(worker_by_hand: ByHand) -> None:
    assert worker_by_hand.has_written("proj.celery.debug_task")  # listed among [tasks]
    debug_task.apply_async(queue=settings.CELERY_TASK_DEFAULT_QUEUE)
    wait_for(lambda: worker_by_hand.has_written("Request: <Context"), "debug_task has printed")
    wait_for(answers, "it answers a ping")
    assert worker_by_hand.stop() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "queues"), [([], "ab"), (["-Q", "b"], "b"), (["-X", "b"], "a")]
)
def test_a_worker_by_hand_takes_from_the_projects_queues_unless_it_is_told_others(
    tmp_path: Path, arguments: list[str], queues: str
) -> None:
    worker = ByHand(
        tmp_path / "worker.log", "worker", "-l", "INFO", *arguments,
        CELERY_WORKER_CONCURRENCY="1", WORKER_QUEUES="a,b",
    )  # fmt: skip
    wait_for(lambda: worker.has_written(" ready."), "the worker is ready")
    taken = [name for name in ("a", "b", "default") if worker.has_written(f".> {name} ")]
    assert taken == list(queues)
    assert worker.stop() == 0


@pytest.mark.django_db(transaction=True)
def test_a_beat_by_hand_starts(tmp_path: Path) -> None:
    beat = ByHand(
        tmp_path / "beat.log", "beat", "-l", "INFO", "--pidfile", "", HEARTBEAT_DIR=str(tmp_path)
    )
    wait_for(lambda: beat.has_written("beat: Starting..."), "beat has started")
    assert beat.stop() == 0


@pytest.mark.django_db(transaction=True)
def test_a_task_goes_to_the_queue_that_the_routes_name(start_role: StartRole) -> None:
    start_role("worker", CELERY_TASK_ROUTES='{"tests.*": {"queue": "mail"}}', **PROBES)
    assert where.delay().get(timeout=180)["queue"] == "default"
    assert where.apply_async(queue="mail").get(timeout=180)["queue"] == "mail"


@pytest.mark.django_db(transaction=True)
def test_a_worker_takes_only_from_the_queues_that_its_environment_names(
    start_role: StartRole,
) -> None:
    start_role("worker", WORKER_QUEUES="mail", **PROBES)
    waiting = where.apply_async(queue="reports")
    assert where.apply_async(queue="mail").get(timeout=180)["queue"] == "mail"
    assert not waiting.ready()
    start_role("worker", "-n", "second@%h", WORKER_QUEUES="reports", **PROBES)
    assert waiting.get(timeout=180)["queue"] == "reports"


@pytest.mark.django_db(transaction=True)
def test_a_warning_is_in_the_log_and_stops_nothing(start_role: StartRole) -> None:
    worker = start_role("worker", ALLOWED_HOSTS="*", WORKER_QUEUES="default,report", **PROBES)
    assert "proj.W101: ALLOWED_HOSTS=*: " in worker.output()
    assert "proj.W091: WORKER_QUEUES=default,report: nothing is routed to report" in worker.output()
