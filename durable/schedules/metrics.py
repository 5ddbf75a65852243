"""Metrics of beat: does one lead?"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections, router
from django_celery_beat.models import PeriodicTask

from durable.database import locks


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]:
    """Yield the gauge of this app."""
    with connections[router.db_for_write(PeriodicTask)].cursor() as cursor:
        leads = locks.holder(cursor, locks.LEADER) is not None
    yield "proj_beat_leads", "Beats that lead: 1, and 0 while none does.", (), {(): float(leads)}
