"""Procrastinate, by its integration with Django."""

from __future__ import annotations

from django.core.management import call_command
from procrastinate.contrib.django import app

from bench.peers import work


@app.task
def effect(label: int) -> int:
    """Write one row."""
    return work.effect(label)


@app.task
def nothing(label: int) -> int:
    """Do nothing."""
    return work.nothing(label)


TASKS = {"effect": effect, "nothing": nothing}


def prepare() -> None:
    """Create its tables."""
    call_command("migrate", "procrastinate", verbosity=0)


def call(task: str, label: int) -> None:
    """Defer one job."""
    TASKS[task].defer(label=label)


def call_many(task: str, labels: list[int]) -> None:
    """Defer many jobs by one statement."""
    TASKS[task].batch_defer(*({"label": label} for label in labels))
