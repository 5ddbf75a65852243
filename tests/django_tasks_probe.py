"""A task by Django's API, for real workers."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django_tasks import TaskContext, task

from tests.durable_tasks import write


@task(takes_context=True)
def tells(context: TaskContext, label: str) -> list[str]:
    """Write an effect, and return who runs it."""
    write(label)
    return context.task_result.worker_ids


@task()
async def stumbles(label: str) -> None:
    """Fail after an effect."""
    await Group.objects.acreate(name=label)
    raise ValueError(label)
