"""A wrong configuration is named, with its numbers and what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Task as CelerysTask
from django.apps import apps
from django.core.checks import run_checks
from django.db import connection
from psycopg import IsolationLevel

from proj.celery import app


def ids() -> list[str | None]:
    return [message.id for message in run_checks(tags=["durable"])]


def test_the_projects_own_settings_are_right() -> None:
    assert ids() == []


def test_numbers_that_contradict_each_other(settings: Any) -> None:
    settings.DURABLE_DEAD_AFTER = 5
    [message] = run_checks(tags=["durable"])
    assert message.id == "durable.E001"
    assert "DURABLE_DEAD_AFTER=5 is less than three times DURABLE_HEARTBEAT=2" in message.msg
    assert "Set DURABLE_DEAD_AFTER to 6" in (message.hint or "")


def test_the_queue_without_its_journal_is_an_error(settings: Any) -> None:
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "durable.journal"
    ]
    [message] = run_checks(tags=["durable"])
    assert message.id == "durable.E008"


def test_a_history_longer_than_the_journal_has_parts_is_an_error(settings: Any) -> None:
    settings.HISTORY_DAYS = 90
    [message] = run_checks(tags=["durable"])
    assert message.id == "durable.E007"
    assert message.msg.startswith("HISTORY_DAYS=90: ")


def test_a_long_task_that_is_called_around_its_row_is_named_unless_every_call_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    from tests import durable_tasks

    (tmp_path / "views.py").write_text(
        "def view(request):\n"
        "    tasks.long_gate.delay('a')\n"
        "    long_gate.delay_on_commit('a')\n"
        "    effect.delay('a')\n"
    )
    monkeypatch.setattr(apps.get_app_config("durable"), "path", str(tmp_path))
    [message] = run_checks(tags=["durable"])
    assert message.id == "durable.W002"
    assert f"views.py:2: {durable_tasks.long_gate.name}.delay()" in message.msg
    settings.DURABLE_DELAY = True
    assert ids() == []


@pytest.mark.parametrize(
    ("level", "found"),
    [(IsolationLevel.REPEATABLE_READ, ["durable.E009"]), (IsolationLevel.READ_COMMITTED, [])],
)
def test_an_isolation_level_that_breaks_limits_is_named(
    level: int, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {**options, "isolation_level": level})
    assert ids() == found


def does_nothing() -> None:
    """Do nothing."""


class Plain(CelerysTask):  # type: ignore[misc]
    """A base class from before there were rows."""

    abstract = True


@pytest.mark.parametrize(
    ("module", "found"),
    [("apps.reports.tasks", "durable.E006"), ("celery.app.builtins", "durable.W003")],
)
def test_a_task_with_another_base_class_is_named(module: str, found: str) -> None:
    """It would be published plainly in durable(), before the commit; a library's may be."""
    task = app.task(base=Plain, name="plain", shared=False)(does_nothing)
    type(task).__module__ = module
    try:
        [message] = run_checks(tags=["durable"])
    finally:
        app.tasks.pop("plain")
    assert message.id == found
    assert "The task plain doesn't derive from durable.queue.worker.task.DurableTask" in message.msg
