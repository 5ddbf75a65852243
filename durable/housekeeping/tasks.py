"""Housekeeping that beat calls now and then: expired rows go, in small batches.

Each of them may run twice, also at the same time, and goes on where an earlier run had to stop.
"""

from __future__ import annotations

from datetime import timedelta

from celery import current_app, shared_task
from celery.utils.time import maybe_timedelta
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone
from django_celery_results.models import ChordCounter, GroupResult, TaskResult

from durable.journal import keep
from durable.queue.models import Pace, Progress, Seen

from .batches import delete_older

#: Chords that are looked at in one run.
CHORDS = 1000


@shared_task
def purge_results() -> dict[str, int]:
    """Delete the results of tasks, groups and chords older than ``CELERY_RESULT_EXPIRES``.

    Instead of Celery's ``celery.backend_cleanup``, which django-celery-results does by one DELETE
    a table, and without the counters of chords. Return how many were deleted, by table.
    """
    expires: timedelta | None = maybe_timedelta(current_app.conf.result_expires)
    if not expires:
        return {}
    limit = timezone.now() - expires
    deleted = {}
    # First, for it is by its tasks' results that the age of a chord is known.
    if newest := _newest_expired_chord(limit):
        table = ChordCounter._meta.db_table
        deleted["chords"] = delete_older(table, "id", "id", newest + 1)
    deleted["groups"] = delete_older(GroupResult._meta.db_table, "id", "date_done", limit)
    deleted["tasks"] = delete_older(TaskResult._meta.db_table, "id", "date_done", limit)
    return deleted


def _newest_expired_chord(limit: object) -> int | None:
    """Return the id of the newest chord that began before *limit*.

    A counter that is left over (it is deleted when the last task of its header ends) has no date.
    A result of one of its tasks does; and the ids rise, so that all older counters are older.
    """
    newest = None
    for counter in ChordCounter.objects.order_by("id")[:CHORDS]:
        tasks = [result.id for result in counter.group_result(current_app).results]
        if TaskResult.objects.filter(task_id__in=tasks, date_created__lt=limit).exists():
            newest = counter.pk
    return newest


@shared_task
def purge_seen() -> int:
    """Delete what is over: calls that may be written again, old rates, progress of old tasks."""
    now = timezone.now()
    delete_older(Progress._meta.db_table, "task_id", "at", now - timedelta(days=1))
    delete_older(Pace._meta.db_table, "key", "since_at", now - timedelta(days=1))
    return delete_older(Seen._meta.db_table, "id", "until", now)


@shared_task
def purge_journal() -> int:
    """Drop the days of the journal that are older than ``HISTORY_DAYS``; return how many."""
    return keep.drop_old()


@shared_task
def purge_sessions() -> int:
    """Delete the expired sessions, as ``manage.py clearsessions`` does in one statement."""
    return delete_older(Session._meta.db_table, "session_key", "expire_date", timezone.now())


@shared_task
def purge_cache() -> dict[str, int]:
    """Delete the expired entries of the caches that live in the database.

    Django does so only beyond ``MAX_ENTRIES``, in one statement and inside a request. Results of
    the backend ``django-cache`` are among them.
    """
    tables = [
        str(cache["LOCATION"])
        for cache in settings.CACHES.values()
        if cache["BACKEND"] == "django.core.cache.backends.db.DatabaseCache"
    ]
    now = timezone.now()
    return {table: delete_older(table, "cache_key", "expires", now) for table in tables}
