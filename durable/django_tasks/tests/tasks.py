"""Django's tasks that only tests run."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group

from .api import TaskContext, task


@task()
def add(one: int, two: int = 0) -> int:
    """Add two numbers."""
    return one + two


@task(priority=10, queue_name="mail")
def first() -> None:
    """Come before others."""


@task(takes_context=True)
def context(context: TaskContext[..., Any], *, context_of: str = "") -> Any:
    """Return what it is told of itself."""
    told = context.task_result
    return [context.attempt, told.id, told.status, told.kwargs, len(told.worker_ids)]


@task()
async def asynchronous(name: str, fails: bool = False) -> str:
    """Write through Django's async interface."""
    group = await Group.objects.acreate(name=name)
    await sync_to_async(group.save)()
    if fails:
        raise ValueError(name)
    return name


@task()
def fails(text: str) -> None:
    """Fail after an effect."""
    Group.objects.create(name=text)
    raise ValueError(text)


@task()
def returns_an_object() -> object:
    """Return what JSON can't hold."""
    return object()
