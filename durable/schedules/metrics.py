"""Metrics of beat: does one lead, and what has it not called?"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections, router
from django_celery_beat.models import PeriodicTask

from durable.database import locks

from .late import late

Gauges = Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]


def leads() -> bool:
    """Return whether a beat leads."""
    with connections[router.db_for_write(PeriodicTask)].cursor() as cursor:
        return locks.holder(cursor, locks.LEADER) is not None


def metrics() -> Gauges:
    """Yield the gauges of this app."""
    yield "proj_beat_leads", "Beats that lead: 1, and 0 while none does.", (), {(): float(leads())}
    found = late()
    says = "Periodic tasks that were due, and were not called."
    yield "proj_schedules_late", says, (), {(): float(len(found))}
    most = max((one.seconds for one in found), default=0.0)
    yield "proj_schedule_late_seconds", "By how much the latest of them is late.", (), {(): most}
