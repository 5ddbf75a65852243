"""What the tests of the scheduler share: a due task, a round of ticks, and what was sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from kombu.utils.json import loads

from durable.database import locks
from durable.queue.models import Task
from durable.schedules.scheduler import DatabaseScheduler
from tests.fixtures_worker import wait_for

StartBeat = Callable[..., DatabaseScheduler]


def sent() -> list[str]:
    """Return the names of the periodic tasks in the queue, oldest first, and empty it."""
    rows = Task.objects.order_by("id")
    names = [loads(row.headers)["periodic_task_name"] for row in rows]
    rows.delete()
    return names


def tick(scheduler: DatabaseScheduler) -> None:
    """Tick until nothing is due."""
    while scheduler.tick() == 0:
        pass


def is_free() -> bool:
    """Return whether no session holds the leader's lock."""
    with connection.cursor() as cursor:
        return locks.holder(cursor, locks.LEADER) is None


def step_down(leader: DatabaseScheduler) -> None:
    """End the session of *leader*; the server frees its lock a moment later."""
    leader.close()
    wait_for(is_free, "the server has noticed, and another beat can lead")


def periodic(name: str = "p", **fields: Any) -> PeriodicTask:
    """Make a task that was due an hour ago."""
    fields.setdefault("interval", IntervalSchedule.objects.create(every=30, period="minutes"))
    fields.setdefault("last_run_at", timezone.now() - timedelta(hours=1))
    fields.setdefault("task", "proj.celery.debug_task")
    return PeriodicTask.objects.create(name=name, **fields)
