"""What takes a task's place is called in the transaction that ends the task, wherever that is."""

from __future__ import annotations

from typing import Any

import pytest
from celery import shared_task, states
from celery.exceptions import Ignore
from django.db import transaction

from durable.queue.models import Task
from tests import durable_tasks as tasks

from .delivery import deliver

pytestmark = pytest.mark.usefixtures("effect_table")


@shared_task(bind=True)
def replaces_in_a_block(self: Any, label: str) -> Any:
    """Let another task take its place, in a transaction of its own."""
    with transaction.atomic():
        return self.replace(tasks.effect.s(label))


@shared_task(bind=True, atomic=False)
def replaces_while_finishing(self: Any, label: str) -> Any:
    """Let another task take its place, with its last effects."""
    with self.finishing():
        tasks.write(f"{label}-first")
        self.replace(tasks.effect.s(label))


@shared_task(bind=True, atomic=False)
def replaces_when_finished(self: Any, label: str) -> Any:
    """Let another task take its place, after its last effects."""
    with self.finishing():
        tasks.write(f"{label}-first")
    return self.replace(tasks.effect.s(label))


@shared_task(bind=True, atomic=False)
def replaces_in_the_open(self: Any, label: str) -> Any:
    """Let another task take its place, in no transaction."""
    try:
        return self.replace(tasks.effect.s(label))
    except Ignore:
        tasks.write(f"{Task.objects.count()} row before the end")
        raise


@shared_task(bind=True)
def replaces_and_fails(self: Any, label: str) -> Any:
    """Let another task take its place, and fail."""
    try:
        self.replace(tasks.effect.s(label))
    except Ignore:
        raise ValueError(label) from None


@shared_task(bind=True, atomic=False)
def ignores_while_finishing(self: Any, label: str) -> None:
    """End without a result, with its last effects."""
    with self.finishing():
        tasks.write(label)
        raise Ignore


@pytest.mark.parametrize(
    ("task", "effects"),
    [
        (replaces_in_a_block, {"a": 1}),
        (replaces_while_finishing, {"a-first": 1, "a": 1}),
        (replaces_when_finished, {"a-first": 1, "a": 1}),
        (replaces_in_the_open, {"1 row before the end": 1, "a": 1}),
    ],
)
def test_it_is_there_whatever_the_exception_goes_through(task: Any, effects: Any) -> None:
    result = task.delay_on_commit("a")
    assert deliver().info.state == states.IGNORED
    row = Task.objects.get()
    assert (row.task, row.task_id) == (tasks.effect.name, result.id)
    deliver()
    assert result.get() == "a"
    assert tasks.effects() == effects


def test_it_is_rolled_back_with_what_a_failure_rolls_back() -> None:
    result = replaces_and_fails.delay_on_commit("a")
    deliver()
    assert not Task.objects.exists()
    assert result.state == states.FAILURE


def test_ignore_keeps_the_last_effects_of_a_long_task() -> None:
    result = ignores_while_finishing.delay_on_commit("a")
    assert deliver().info.state == states.IGNORED
    assert not Task.objects.exists()
    assert tasks.effects() == {"a": 1}
    assert result.state == states.STARTED
