"""The meaning of the time of day."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from .invariant import Finding, invariant


@invariant(
    "proj.E111",
    "USE_TZ",
    "leave USE_TZ at True; TIME_ZONE and CELERY_TIMEZONE are free",
)
def moments_have_a_time_zone() -> Iterator[Finding]:
    """Find moments that mean another time to each process that reads them."""
    if not settings.USE_TZ:
        yield (
            "USE_TZ=False: a call with eta= raises a TypeError, and periodic tasks never run.",
            "Set USE_TZ to True; people see times in TIME_ZONE.",
        )
