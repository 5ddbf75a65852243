"""Counters that never fall, though the minutes that they are made of are dropped one day.

A minute that is not counted again is added to the totals, once. `/metrics` shows the totals and the
minutes that still change: as new as these, and as few as there are tasks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from . import conf
from .minutes import BOUNDS
from .models import Minute, Total

#: Pairs of task and queue with counters of their own, the first to come; all later ones are one.
#: So a scrape stays short whatever names are called.
LABELS, OTHER = 50, "other"
#: Minutes that are read at most, the oldest first: then a counter is late, and doesn't fall.
READ = 2_000

#: The same for both, or a name would come to a place of its own that it doesn't get later.
_ORDER = ("minute", "task", "queue")
_SUMS = ("done", "failed", "revoked", "retried", "died", "waited", "ran")


def settle(before: datetime) -> None:
    """Add the minutes before *before* to the totals; in the transaction that counts minutes."""
    over = Minute.objects.using(conf.alias()).filter(settled=False, minute__lt=before)
    now = timezone.now()
    found = _with(_stored(), over.order_by(*_ORDER).iterator(), now).values()
    Total.objects.using(conf.alias()).bulk_create(
        [total for total in found if total.changed_at == now],
        update_conflicts=True,
        unique_fields=["task", "queue"],
        update_fields=[*_SUMS, "waits", "runs", "changed_at"],
    )
    over.update(settled=True)


def totals() -> list[Total]:
    """Return what has ended until the last minute that was counted."""
    unsettled = Minute.objects.using(conf.alias()).filter(settled=False)
    return list(_with(_stored(), unsettled.order_by(*_ORDER)[:READ], timezone.now()).values())


def _stored() -> dict[tuple[str, str], Total]:
    found = Total.objects.using(conf.alias()).order_by("id")
    return {(total.task, total.queue): total for total in found}


def _with(
    totals: dict[tuple[str, str], Total], minutes: Iterable[Minute], now: datetime
) -> dict[tuple[str, str], Total]:
    for one in minutes:
        key = (one.task, one.queue)
        if key not in totals and len(totals) >= LABELS:
            key = (OTHER, OTHER)
        total = totals.setdefault(key, Total(task=key[0], queue=key[1]))
        for name in _SUMS:
            setattr(total, name, getattr(total, name) + getattr(one, name))
        total.waits = _added(total.waits, one.waits)
        total.runs = _added(total.runs, one.runs)
        total.changed_at = now
    return totals


def _added(counts: list[int], more: list[int]) -> list[int]:
    counts = counts or [0] * (len(BOUNDS) + 1)
    return [count + new for count, new in zip(counts, more, strict=True)]
