"""The beat role's scheduler: django-celery-beat's, able to live without its database for a while.

What differs from upstream (django-celery-beat 2.9):

* PostgreSQL away, at the start or later, never ends beat: it goes on with the schedule that it has,
  and catches up. Upstream catches errors where it looks for changes, but not where it reads them.
* ``last_run_at`` is written after each task and not every three minutes, so that a restart repeats
  nothing, by an UPDATE of two columns. Upstream reads the row and writes it back whole, and with it
  the values that a person changed in the admin in between.
* A change in the admin is noticed at the next tick, whatever the clock of the machine that wrote it
  says, also one made while beat starts.
* Every enabled task is loaded. Upstream leaves out those whose hour is more than two hours away, so
  that a daily job which was missed for longer never runs.
* No ``celery.backend_cleanup``, which deletes all expired results in one statement:
  apps.housekeeping does it in batches.
* It has a heartbeat (see apps/health).
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from celery.utils.log import get_logger
from django.conf import settings
from django.db import Error, close_old_connections
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import SCHEDULE_SYNC_MAX_INTERVAL, ModelEntry
from django_celery_beat.schedulers import DatabaseScheduler as UpstreamScheduler

from apps.health.heartbeat import HeartbeatFile

logger = get_logger(__name__)

#: Seconds until the next try when the database can't be reached at the start.
RETRY = 1.0


class Entry(ModelEntry):  # type: ignore[misc]
    """A periodic task; writes nothing but what beat itself has to say about it."""

    def save(self) -> None:
        """Write when the task ran last; not of one that was disabled or deleted meanwhile."""
        PeriodicTask.objects.filter(pk=self.model.pk, enabled=True).update(
            last_run_at=self.model.last_run_at, total_run_count=self.model.total_run_count
        )


class DatabaseScheduler(UpstreamScheduler):  # type: ignore[misc]
    """Reads the periodic tasks from the database and sends those that are due.

    Nothing but :meth:`tick` waits for the database, and :meth:`sync` if there is something to
    write: the constructor and the handler of SIGTERM must not hang on one that is away.
    """

    Entry = Entry

    # Upstream's, which has no types.
    sync_every_tasks: int | None
    _dirty: set[str]
    _heap: list[Any] | None
    _last_timestamp: datetime | None = None
    _schedule: dict[str, ModelEntry] | None = None

    def __init__(self, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        #: A change was noticed that could not be read yet.
        self._behind = True
        #: No database error in the tick that runs.
        self._reached = True
        self._outage = False
        self._last_full_read = 0.0
        super().__init__(*args, lazy=lazy, **kwargs)
        self.sync_every_tasks = self.sync_every_tasks or 1
        # Two rounds of the longest sleep, or what is usual if that is longer.
        valid = max(settings.HEARTBEAT_MAX_AGE, 2 * self.max_interval)
        self.heartbeat = HeartbeatFile("beat", valid)
        if not lazy:
            self.heartbeat.remove()

    def setup_schedule(self) -> None:
        """Do nothing: the first tick reads the schedule."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return the seconds until the next call."""
        self._reached = True
        try:
            interval: float = super().tick(*args, **kwargs)
        except Error as error:  # only without any schedule, at the start
            self._database_failed(error)
            return RETRY
        if self._reached:
            self.heartbeat.touch()
            if self._outage:
                logger.info("beat: the database is back")
            self._outage = False
        return interval

    def enabled_models_qs(self) -> QuerySet[PeriodicTask]:
        tasks: QuerySet[PeriodicTask] = self.Model.objects.enabled()
        return tasks.select_related("interval", "crontab", "solar", "clocked")

    @property
    def schedule(self) -> dict[str, ModelEntry]:
        """Return the entries by name, read again when something changed.

        :raises django.db.Error: there is no schedule yet, and none can be read.
        """
        first = self._schedule is None
        try:
            close_old_connections()
            overdue = time.monotonic() - self._last_full_read > SCHEDULE_SYNC_MAX_INTERVAL
            if self.schedule_changed() or self._behind or overdue:
                self._behind = True
                self._read()
        except Error as error:
            if first:
                raise
            self._database_failed(error)
        assert self._schedule is not None  # noqa: S101 - or it has raised
        if first and self.app.conf.beat_schedule:
            self.update_from_dict(self.app.conf.beat_schedule)
        return self._schedule

    def schedule_changed(self) -> bool:
        """Tell whether the tables changed since the last call.

        :raises django.db.Error: they can't be read.
        """
        before, self._last_timestamp = self._last_timestamp, self.Changes.last_change()
        return bool(self._last_timestamp != before)

    def _read(self) -> None:
        # In this order: the rows that are read must not be older than what ran meanwhile.
        self._write()
        schedule = self.all_as_schedule()
        if self._schedule is not None:
            logger.info("beat: the schedule changed, or it was time to look")
            self._heap = []
            self._heap_invalidated = True
        self._schedule = schedule
        self._behind = False
        self._last_full_read = time.monotonic()

    def sync(self) -> None:
        """Write when the tasks ran last; what can't be written now is written later."""
        if not self._dirty:
            return
        try:
            close_old_connections()
            self._write()
        except Error as error:
            self._database_failed(error)

    def _write(self) -> None:
        while self._dirty:
            name = next(iter(self._dirty))
            if self._schedule and name in self._schedule:
                self._schedule[name].save()
            self._dirty.discard(name)

    def _database_failed(self, error: Error) -> None:
        self._reached = False
        if not self._outage:
            logger.warning("beat: the database can't be used, trying again: %s", error)
        self._outage = True

    def install_default_entries(self, data: Any) -> None:
        """Install none; apps.housekeeping declares its own."""
