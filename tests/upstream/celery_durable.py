"""A plugin of pytest for Celery's integration tests: every call is a row, as DURABLE_DELAY=true."""

from __future__ import annotations

import inspect
import os
from typing import Any

import celery.contrib.testing.worker  # noqa: F401 - it reads WORKER_LOGLEVEL, which conftest drops
import pytest
from django.conf import settings
from django.core.management import call_command

import conftest  # noqa: F401 - it starts PostgreSQL, and sets Django up
from proj.celery import app as projects

# They are for this process: a test starts a worker by its own settings alone.
for name in ("CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE"):
    del os.environ[name]
projects.loader.import_default_modules()
call_command("migrate", verbosity=0)
call_command("createcachetable", verbosity=0)
settings.DURABLE_DELAY = True

#: Their tests want Redis for what each backend can do; some classes of them test Redis alone.
FOR_ALL = ("test_canvas.py", "test_tasks.py", "test_group_chains.py")


class AsRedis(str):
    """The result backend, which passes for Redis where a test would else be skipped."""

    def startswith(self, prefix: Any, *rest: Any) -> bool:
        caller = inspect.stack()[1]
        of_redis = "redis" in type(caller.frame.f_locals.get("self")).__name__
        if prefix == "redis" and caller.filename.endswith(FOR_ALL) and not of_redis:
            return True
        return super().startswith(prefix, *rest)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Put the backend where Celery's conftest reads it."""
    from t.integration import conftest as celerys  # type: ignore[import-not-found]

    celerys.TEST_BACKEND = AsRedis(celerys.TEST_BACKEND)


@pytest.fixture(scope="session")
def celery_parameters() -> dict[str, Any]:
    """The application as proj/celery.py makes it."""
    return {"task_cls": "proj.task:Task", "control": "durable.queue.endings.actions:Control"}


@pytest.fixture(scope="session", autouse=True)
def _rows(celery_session_app: Any) -> None:
    """The session's worker takes rows; it is a thread of this process, which sends no signal."""
    from durable.queue.worker import remote  # noqa: F401 - it registers its commands

    celery_session_app.steps["worker"].add("durable.queue.worker.rows:Rows")
