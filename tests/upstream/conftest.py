"""The fixtures that upstream's tests ask for, and this project's backend in upstream's place."""

from __future__ import annotations

import os
from typing import Any

import celery.worker.request
import pytest
from celery._state import set_default_app
from celery.contrib.pytest import (
    celery_app,
    celery_config,
    celery_enable_logging,
    celery_parameters,
    depends_on_current_app,
    use_celery_app_trap,
)
from celery.contrib.testing.app import TestApp, Trap

__all__ = [
    "celery_app",
    "celery_config",
    "celery_enable_logging",
    "celery_parameters",
    "depends_on_current_app",
    "use_celery_app_trap",
]


class TaskName(str):
    """What these tests hand to a request instead of a task; Celery 5.7 asks it one thing more."""

    ignore_result = False


class Request(celery.worker.request.Request):  # type: ignore[misc]
    """Celery's, which accepted a task's name before 5.7."""

    def __init__(self, *args: Any, task: str, **kwargs: Any) -> None:
        super().__init__(*args, task=TaskName(task), **kwargs)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Put the backend there before the test modules import it."""
    from django_celery_results.backends import database

    from durable.results.backend import DatabaseBackend

    celery.worker.request.Request = Request
    if "UPSTREAMS_OWN" not in os.environ:  # to see that the tests are right
        database.DatabaseBackend = DatabaseBackend


@pytest.fixture(scope="session", autouse=True)
def _default_app_trap() -> None:
    set_default_app(Trap())


@pytest.fixture(autouse=True)
def _shortcuts(request: pytest.FixtureRequest, celery_app: Any) -> None:
    instance = request.instance

    @celery_app.task
    def add(x: int, y: int) -> int:
        return x + y

    if instance:
        instance.app, instance.Celery, instance.add = celery_app, TestApp, add
