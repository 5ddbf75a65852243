"""Huey, by its integration with Django. It has no call for many that is more than a loop."""

from __future__ import annotations

from huey.contrib.djhuey import db_task, task

from bench.peers import work

TASKS = {
    "effect": db_task(name="effect")(work.effect),
    "nothing": task(name="nothing")(work.nothing),
}


def call(task: str, label: int) -> None:
    """Enqueue one task."""
    TASKS[task](label)
