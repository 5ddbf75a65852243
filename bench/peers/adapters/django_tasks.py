"""Django's tasks framework, with the database as its backend. It has no call for many."""

from __future__ import annotations

from django.core.management import call_command
from django_tasks import task as task_of_django

from bench.peers import work


@task_of_django()
def effect(label: int) -> int:
    """Write one row."""
    return work.effect(label)


@task_of_django()
def nothing(label: int) -> int:
    """Do nothing."""
    return work.nothing(label)


TASKS = {"effect": effect, "nothing": nothing}


def prepare() -> None:
    """Create its tables."""
    call_command("migrate", "django_tasks_database", verbosity=0)


def call(task: str, label: int) -> None:
    """Enqueue one task."""
    TASKS[task].enqueue(label)
