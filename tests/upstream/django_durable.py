"""A plugin of pytest for Django's tests of its backends: rows stand in the place of its lists.

What ``DummyBackend`` keeps in a list is a row here; what ``ImmediateBackend`` runs at once runs
here as a worker would, through Celery's tracer.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any

import django
import pytest
from django.core.management import call_command
from django.test import SimpleTestCase

import conftest  # noqa: F401 - it starts PostgreSQL, and sets Django up
from durable.django_tasks.backend import Backend
from durable.journal.models import Entry
from durable.queue.models import Task as Row
from durable.testing.tasks import Tasks

#: Tests of what only Django's two backends do, and why this one does not.
OTHERS = {
    "ImmediateBackendTransactionTestCase::test_doesnt_wait_until_transaction_commit_by_default": (
        "runs a task inside of its caller's transaction"
    ),
    "DummyBackendTestCase::test_refresh_result": "changes an entry of the list; a row is no object",
    "DummyBackendTestCase::test_refresh_result_async": "the same",
    "ImmediateBackendTestCase::test_cannot_get_result": "it can here",
    "ImmediateBackendTestCase::test_cannot_refresh_result": "it can here",
    "ImmediateBackendTestCase::test_cannot_pass_run_after": "it is possible here",
}


if django.VERSION < (6,):
    OTHERS |= dict.fromkeys(
        (
            "CustomBackendTestCase::test_enqueue_async_task_on_non_async_backend",
            "DummyBackendTestCase::test_validate_disallowed_async_task",
        ),
        "the backport says it in other words",
    )
if sys.version_info < (3, 12):
    OTHERS["CustomBackendTestCase::test_no_enqueue"] = "Python says it in other words"


class Waits(Backend):
    """Keeps what is called, as ``DummyBackend`` does."""

    @property
    def results(self) -> list[Any]:
        """Return what was called, in its order."""
        return [self.get_result(row.task_id) for row in Row.objects.order_by("pk")]

    def clear(self) -> None:
        """Forget what was called."""
        Row.objects.all().delete()
        Entry.objects.all().delete()


class Runs(Backend):
    """Runs what is called before the call returns, as ``ImmediateBackend`` does."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Call the task, and run it."""
        with Tasks() as tasks:
            result = super().enqueue(task, args, kwargs)
            tasks.run(raising=False)
        result.refresh()
        return result


def _take_the_place() -> None:
    if django.VERSION < (6,):  # Django's names for the backport's modules
        parts = ("", ".backends", ".base", ".exceptions", ".signals", ".backends.base")
        for part in (*parts, ".backends.dummy", ".backends.immediate"):
            sys.modules[f"django.tasks{part}"] = import_module(f"django_tasks{part}")
        django.tasks = sys.modules["django.tasks"]
        errors: Any = sys.modules["django.tasks.exceptions"]
        errors.InvalidTask = errors.InvalidTaskError
        errors.InvalidTaskBackend = errors.InvalidTaskBackendError
        known = logging.Logger.manager.loggerDict
        known["django.tasks"] = logging.getLogger("django_tasks")
    dummy: Any = import_module("django.tasks.backends.dummy")
    immediate: Any = import_module("django.tasks.backends.immediate")
    dummy.DummyBackend, immediate.ImmediateBackend = Waits, Runs


_take_the_place()
SimpleTestCase.databases = {"default"}
call_command("migrate", verbosity=0)
call_command("createcachetable", verbosity=0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what only Django's backends do."""
    for item in items:
        if why := OTHERS.get(item.nodeid.partition("::")[2]):
            item.add_marker(pytest.mark.skip(reason=why))
