"""The periodic tasks that were due and not called: for the console, the doctor, `/metrics`."""

from __future__ import annotations

from typing import NamedTuple

from django.db import Error
from django_celery_beat.models import PeriodicTask

from .conf import LATE
from .entry import Entry

#: Periodic tasks that are looked at, at most.
MOST = 1_000


class Late(NamedTuple):
    """A periodic task that should have run."""

    name: str
    seconds: float


def late() -> list[Late]:
    """Return them, the latest first; beat's log says which make no sense.

    :raises django.db.Error: they can't be read.
    """
    found = []
    tasks = PeriodicTask.objects.filter(enabled=True).order_by("pk")
    for model in tasks.select_related("interval", "crontab", "solar", "clocked")[:MOST]:
        try:
            seconds = Entry(model).missed_by()
        except Error:
            raise
        except Exception:  # noqa: S112 - a schedule that makes no sense
            continue
        if seconds > LATE:
            found.append(Late(model.name, seconds))
    return sorted(found, key=lambda one: -one.seconds)
