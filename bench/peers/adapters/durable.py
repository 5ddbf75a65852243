"""This project: the role ``worker``, and calls that are rows."""

from __future__ import annotations

from bench.peers.tasks import TASKS
from proj.celery import app as app


def call(task: str, label: int) -> None:
    """Call one task with the transaction."""
    TASKS[task].delay_on_commit(label)


def call_many(task: str, labels: list[int]) -> None:
    """Call many tasks with the transaction."""
    TASKS[task].map_on_commit((label,) for label in labels)
