"""The work as tasks of Celery; which application has them, the one that imports them says."""

from __future__ import annotations

from celery import shared_task

from bench.effects import effect
from bench.peers import work


@shared_task
def nothing(label: int) -> int:
    """Do nothing."""
    return work.nothing(label)


TASKS = {"effect": effect, "nothing": nothing}
