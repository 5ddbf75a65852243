"""A wrong configuration is named, with its numbers and what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Task as CelerysTask
from django.apps import apps
from django.core.checks import run_checks

from proj.celery import app


def ids() -> list[str | None]:
    return [message.id for message in run_checks(tags=["durable"])]


def test_the_projects_own_settings_are_right() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("DURABLE_DEAD_AFTER", 5, "durable.E001"),
        ("DURABLE_RESEND_AFTER", 300, "durable.E002"),
        ("DURABLE_PUBLISH_TIMEOUT", 30.0, "durable.E003"),
    ],
)
def test_numbers_that_contradict_each_other(
    settings: Any, name: str, value: float, found: str
) -> None:
    setattr(settings, name, value)
    [message] = run_checks(tags=["durable"])
    assert message.id == found
    assert f"{name}={value:g}" in message.msg
    assert name in (message.hint or "")


def test_early_acknowledgement_is_named() -> None:
    app.conf.task_acks_late = False
    try:
        assert ids() == ["durable.W001"]
    finally:
        app.conf.task_acks_late = True


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("task_protocol", 1, "durable.E007"),
        ("task_compression", "middle-out", "durable.E008"),
        ("task_serializer", "middle-out", "durable.E008"),
    ],
)
def test_what_would_break_every_message_is_named(name: str, value: Any, found: str) -> None:
    before = app.conf[name]
    app.conf[name] = value
    try:
        [message] = run_checks(tags=["durable"])
    finally:
        app.conf[name] = before
    assert message.id == found
    assert f"CELERY_{name.upper()}={value}" in message.msg


def test_a_long_task_that_is_called_around_its_ledger_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def does_nothing() -> None:
    """Do nothing."""


class Plain(CelerysTask):  # type: ignore[misc]
    """A base class from before there was a ledger."""

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
    assert "The task plain doesn't derive from durable.queue.task.OutboxTask" in message.msg
