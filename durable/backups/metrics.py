"""How old the last proven backup is, and the last off the machine; for durable/metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

from django.utils import timezone

from .models import Backup, Moment

#: Seconds, from which on a proven dump, or one off the machine, is old: a night that went wrong and
#: half of the next day. And the archive, which is written each minute.
OLD, ARCHIVE_OLD = 129_600, 900


def proven_age(now: datetime | None = None) -> float | None:
    """Return how many seconds of work a restore of the last proven backup would lose.

    :return: ``math.inf`` if there are backups and none is proven, so that an alarm on a limit
        rings; ``None`` if this installation makes no backups here at all.
    """
    newest = (
        Backup.objects.exclude(proven_at=None)
        .order_by("-dumped_at")
        .values_list("dumped_at", flat=True)
        .first()
    )
    if newest is not None:
        return ((now or timezone.now()) - newest).total_seconds()
    return math.inf if Backup.objects.exists() else None


def stored_age(now: datetime | None = None) -> float | None:
    """Return how old the newest dump is that has left the machine; ``None``: none ever has."""
    newest = (
        Backup.objects.exclude(stored_at=None)
        .order_by("-dumped_at")
        .values_list("dumped_at", flat=True)
        .first()
    )
    return None if newest is None else ((now or timezone.now()) - newest).total_seconds()


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], Mapping[tuple[str, ...], float]]]:
    """Yield the gauge, where backups are made."""
    if (age := proven_age()) is not None:
        meaning = (
            "Seconds since the moment that the last proven backup shows; +Inf: none is proven."
        )
        yield "proj_backup_proven_age_seconds", meaning, (), {(): age}
    if (age := stored_age()) is not None:
        meaning = "Seconds since the moment that the newest dump off the machine shows."
        yield "proj_backup_stored_age_seconds", meaning, (), {(): age}
    if newest := Moment.objects.order_by("-at").first():
        meaning = "Seconds since the archive of WAL was last written."
        age = (timezone.now() - newest.at).total_seconds()
        yield "proj_backup_archive_age_seconds", meaning, (), {(): age}
