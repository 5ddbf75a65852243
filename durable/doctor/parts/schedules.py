"""Beat, and the periodic tasks that are late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from celery.utils.time import maybe_make_aware
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from durable.schedules.metrics import metrics

from ..line import Level, Line

#: How late a periodic task may be: a beat that takes over has found it by then.
LATE = timedelta(minutes=2)


def lines() -> Iterator[Line]:
    """Yield a line for the leader, and one for the late."""
    [(_, _, _, leads)] = metrics()
    yield Line("schedules", "beat", Level.OK if leads[()] else Level.FAIL,
               "one leads" if leads[()] else "none leads: nothing periodic runs",
               "start one: `make up`, `docker/entrypoint.sh beat`")  # fmt: skip
    late = sorted(late_tasks())
    yield Line("schedules", "late", Level.WARN if late else Level.OK, ", ".join(late) or "none",
               "look at beat's log; after an outage it catches up within a minute")  # fmt: skip


def late_tasks() -> Iterator[str]:
    """Yield the names of the enabled tasks that were due, and were not called since.

    A task that never ran counts from its last change on.
    """
    now = timezone.now()
    for task in PeriodicTask.objects.filter(enabled=True).select_related(
        "interval", "crontab", "solar", "clocked"
    ):
        since = maybe_make_aware(task.last_run_at or task.date_changed)
        left = task.schedule.remaining_estimate(since)
        if left < -LATE and (task.start_time is None or task.start_time < now - LATE) and (
            task.expires is None or task.expires > now
        ):  # fmt: skip
            yield task.name
