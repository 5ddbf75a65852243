"""A task by Django's API, for real workers."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group

from durable.django_tasks.tests.api import TaskContext, task
from tests.durable_tasks import write


@task(takes_context=True)
def tells(context: TaskContext[..., Any], label: str) -> list[str]:
    """Write an effect, and return who runs it."""
    write(label)
    return context.task_result.worker_ids


@task()
async def stumbles(label: str) -> None:
    """Fail after an effect."""
    await Group.objects.acreate(name=label)
    raise ValueError(label)
