"""Results come back by each of the backends, which one variable chooses; also after an outage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django_celery_results.models import TaskResult

from proj.celery import app

from . import probe_tasks
from .cable import Cable, through
from .fixtures_worker import ROOT, StartRole, database_url, wait_for

CALLER = """
from tests.probe_tasks import add
from celery.result import AsyncResult
sent = add.delay(2, 3)
result = AsyncResult(sent.id)
kind = type(result.backend)
print(sent.id, result.get(timeout=180), result.state, f"{kind.__module__}.{kind.__name__}")
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("", "durable.results.backend.DatabaseBackend"),
        ("django-db", "django_celery_results.backends.database.DatabaseBackend"),
        ("django-cache", "django_celery_results.backends.cache.CacheBackend"),
    ],
)
def test_a_result_comes_back(start_role: StartRole, backend: str, name: str) -> None:
    call_command("createcachetable")
    env = {"CELERY_RESULT_BACKEND": backend, "CELERY_IMPORTS": "tests.probe_tasks"}
    start_role("worker", **env)
    caller = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", CALLER],
        cwd=ROOT,
        env={**os.environ, **env, "DATABASE_URL": database_url()},
        capture_output=True,
        text=True,
        check=True,
    )
    task_id, *rest = caller.stdout.split()
    assert rest == ["5", "SUCCESS", name]
    in_its_table = TaskResult.objects.filter(task_id=task_id, status="SUCCESS").exists()
    in_the_cache = cache.get(f"celery-task-meta-{task_id}") is not None
    assert (in_its_table, in_the_cache) == (backend != "django-cache", backend == "django-cache")


def runs(folder: Path) -> str:
    """Return a letter for each start of ``probe_tasks.gate``."""
    return (folder / "runs").read_text() if (folder / "runs").exists() else ""


def state(task_id: str) -> str:
    """Return the state that the database holds, by the test's own connection."""
    return str(TaskResult.objects.filter(task_id=task_id).values_list("status", flat=True).first())


@pytest.mark.django_db(transaction=True)
class TestWhilePostgresqlIsAway:
    """The worker reaches it by a cable that is pulled while tasks run."""

    @staticmethod
    def env(database: Cable, **more: str) -> dict[str, str]:
        url = through(database, database_url())
        return {"DATABASE_URL": url, "CELERY_IMPORTS": "tests.probe_tasks", **more}

    def test_no_result_is_lost(
        self, start_role: StartRole, database: Cable, tmp_path: Path
    ) -> None:
        worker = start_role("worker", "-c", "4", **self.env(database))
        tasks = [probe_tasks.gate.delay(str(tmp_path)).id for _ in range(4)]
        wait_for(lambda: runs(tmp_path) == "xxxx", "they run")
        assert {state(task) for task in tasks} == {"STARTED"}
        database.pull()
        (tmp_path / "go").touch()
        worker.wait_for_line("a result must wait for the database")
        database.plug()
        wait_for(lambda: all(state(task) == "SUCCESS" for task in tasks), "all are stored")
        assert runs(tmp_path) == "xxxx"

    def test_a_task_whose_result_can_not_be_stored_is_not_done_and_runs_again(
        self, start_role: StartRole, database: Cable, tmp_path: Path
    ) -> None:
        worker = start_role("worker", **self.env(database, RESULTS_PATIENCE="0.5"))
        task = probe_tasks.gate.delay(str(tmp_path)).id
        wait_for((tmp_path / "runs").exists, "it runs")  # it knows by now that STARTED is stored
        database.pull()
        (tmp_path / "go").touch()
        worker.wait_for_line("failed to store result on the backend")
        assert "succeeded in" not in worker.output()
        database.plug()
        wait_for(lambda: state(task) == "SUCCESS", "it ran again")
        # On a busy machine the second try may last too long, too.
        assert int(TaskResult.objects.get(task_id=task).result or 0) > 1

    def test_the_main_process_goes_on_and_stores_its_own_later(
        self, start_role: StartRole, database: Cable, tmp_path: Path
    ) -> None:
        worker = start_role("worker", **self.env(database))
        limits = {"soft_time_limit": 6, "time_limit": 10}
        task = probe_tasks.gate.apply_async([str(tmp_path)], **limits).id
        wait_for((tmp_path / "runs").exists, "it runs")  # it knows by now that STARTED is stored
        database.pull()
        worker.wait_for_line("a result is stored in the background")
        wait_for(lambda: app.control.ping(timeout=1), "its loop goes round")
        assert state(task) == "STARTED"
        database.plug()
        wait_for(lambda: state(task) == "FAILURE", "the failure is stored")
        assert "TimeLimitExceeded" in TaskResult.objects.get(task_id=task).result
