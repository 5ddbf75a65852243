"""The task of the benchmarks, with what it can do beside its effect."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from durable.django_tasks.tests.api import task
from durable.queue.limits import Limit

from .effects import effect


@task()
def djangos(label: int) -> int:
    """Write one effect, called by Django's API."""
    return int(effect.run(label))


@shared_task(limit=Limit(rate="100000/s", key=lambda label: f"rate-{label % 1000}"))
def paced(label: int) -> int:
    """Write one effect, with a rate that is never reached."""
    return int(effect.run(label))


@shared_task(bind=True)
def telling(self: Any, label: int) -> int:
    """Write one effect, and say before and after how far it is."""
    self.progress(1, 2)
    effect.run(label)
    self.progress(2, 2)
    return label


@shared_task(bind=True)
def asking(self: Any, label: int) -> int:
    """Write one effect, and ask whether it is cancelled."""
    self.cancelled()
    return int(effect.run(label))
