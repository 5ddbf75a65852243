"""Results come back by each of the two backends, which one variable chooses."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django_celery_results.models import TaskResult

from .fixtures_worker import ROOT, StartRole, database_url

CALLER = """
from tests.probe_tasks import add
from celery.result import AsyncResult
sent = add.delay(2, 3)
result = AsyncResult(sent.id)
print(sent.id, result.get(timeout=60), result.state, type(result.backend).__name__)
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("backend", "name"), [("django-db", "DatabaseBackend"), ("django-cache", "CacheBackend")]
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
    assert (in_its_table, in_the_cache) == (backend == "django-db", backend == "django-cache")
