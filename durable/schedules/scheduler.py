"""The beat role's scheduler: django-celery-beat's, of which any number may run.

What differs from upstream (django-celery-beat 2.9):

* One beat leads, the others stand by (see leader.py). With upstream's, two beats send every task
  twice.
* A tick is one transaction with its task's row (see ticks.py): none is lost while the broker
  is away, none happens twice, and a restart repeats nothing. Upstream writes ``last_run_at`` every
  three minutes.
* PostgreSQL away, at the start or later, never ends beat: it catches up when it is back. Upstream
  catches errors where it looks for changes, but not where it reads them.
* A change in the admin is noticed at the next tick, whatever the clock of the machine that wrote it
  says, also one made while beat starts.
* Every enabled task is loaded. Upstream leaves out those whose hour is more than two hours away, so
  that a daily job which was missed for longer never runs.
* A row that makes no sense (a crontab or a time zone that can't be parsed, the sun without ephem)
  is named in the log, and the others go on. Upstream's beat ends, again at each start.
* No ``celery.backend_cleanup``, which deletes all expired results in one statement:
  durable.housekeeping does it in batches.
* It has a heartbeat (see durable/health).
"""

from __future__ import annotations

import math
import time
from datetime import datetime
from functools import partial
from typing import Any

from celery.utils.log import get_logger
from django.core.exceptions import ValidationError
from django.db import DataError, Error, IntegrityError, close_old_connections, connections, router
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler as UpstreamScheduler

from durable.database.retry import only_reads
from durable.database.text import text_of
from durable.health.heartbeat import HeartbeatFile
from durable.journal import redaction

from . import from_settings, ticks
from .conf import FULL_READ, POLL, RETRY
from .entry import Entry as ScheduleEntry
from .leader import Leader
from .untaken import Untaken

logger = get_logger(__name__)


class DatabaseScheduler(UpstreamScheduler):  # type: ignore[misc]
    """Reads the periodic tasks from the database and sends those that are due.

    Nothing but :meth:`tick` waits for the database: the constructor and the handler of SIGTERM must
    not hang on one that is away.
    """

    Entry = ScheduleEntry

    #: Upstream connects to the broker, for as long as that takes, before it sends; a row needs no
    #: connection to it.
    producer = None

    def __init__(self, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self.leader = Leader()
        #: When to read the schedule again, by the monotonic clock: a change was noticed that could
        #: not be read yet, or a tick did not happen.
        self._read_at = 0.0
        #: No database error in the tick that runs.
        self._reached = True
        self._outage = False
        self._last_full_read = 0.0
        self._last_change: datetime | None = None
        self._entries: dict[str, ScheduleEntry] | None = None
        #: The entries were read again, so that their order in time is another one.
        self._reordered = False
        self._untaken = Untaken()
        super().__init__(*args, lazy=lazy, **kwargs)
        # Two rounds of the longest sleep, or what is usual if that is longer.
        self.heartbeat = HeartbeatFile("beat", least=2 * self.max_interval)
        if not lazy:
            self.heartbeat.remove()

    def setup_schedule(self) -> None:
        """Do nothing: the first tick reads the schedule."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, if this beat leads; return the seconds until the next call."""
        self._reached = True
        led, interval = self.leader.leads, POLL
        try:
            if self.leader.hold():
                if not led:
                    self._read_at = 0.0
                interval = super().tick(*args, **kwargs)
        except Error as error:
            self._database_failed(error)
        if not self._reached:
            return RETRY
        self.heartbeat.touch("leader" if self.leader.leads else "standby")
        if self._outage:
            logger.info("beat: the database is back")
        self._outage = False
        return min(interval, POLL)

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> None:
        """Send the task of *entry*, or read again when the next try is.

        Here and not in ``apply_entry()``, which Sentry wraps for its monitors.
        """
        with redaction.about(partial(redaction.redact, entry.task, entry.args, entry.kwargs)):
            self._send(entry)

    def _send(self, entry: ScheduleEntry) -> None:
        try:
            if not ticks.commit(entry):
                self._read_at = 0.0
            self._untaken.taken(entry)
        except (DataError, IntegrityError, TypeError, ValueError) as error:
            self._can_not_be_sent(entry, error)
        except Error as error:
            self._database_failed(error)
            self._read_at = 0.0
        except ticks.NotTakenError as error:
            self._not_taken(entry, error)
        except Exception as error:
            self._can_not_be_sent(entry, error)

    def _not_taken(self, entry: ScheduleEntry, error: Exception) -> None:
        # Not at once: the others that are due come first.
        self._read_at = time.monotonic() + RETRY
        # To send may have taken seconds, as to ask the broker may: a sign of life between the two.
        if not self.leader.hold():
            return
        if self._untaken.is_wrong(entry, error):
            self._untaken.taken(entry)
            self._can_not_be_sent(entry, error)
        elif self._untaken.suspected(entry):
            self._read_at = 0.0

    def _can_not_be_sent(self, entry: ScheduleEntry, error: Exception) -> None:
        why = text_of(error)
        logger.exception("beat: %s can't be sent, until its next time: %s", entry.name, why)
        self._read_at = 0.0
        ticks.pass_over(entry, error)

    def reserve(self, entry: ScheduleEntry) -> ScheduleEntry:
        """Return the entry of the next run; there is nothing to write later."""
        following: ScheduleEntry = next(entry)
        return following

    def enabled_models_qs(self) -> QuerySet[PeriodicTask]:
        tasks: QuerySet[PeriodicTask] = self.Model.objects.enabled()
        return tasks.select_related("interval", "crontab", "solar", "clocked")

    def enabled_models(self) -> list[PeriodicTask]:
        """Return the rows; those of a wrong time zone too, which fail only where each is read."""
        try:
            return list(self.enabled_models_qs())
        except ValidationError:
            return list(self.Model.objects.filter(enabled=True))

    def all_as_schedule(self) -> dict[str, ScheduleEntry]:
        """Return the entries of all rows that make sense; one that does not must end no beat.

        :raises django.db.Error: they can't be read.
        """
        entries = {}
        for row in self.enabled_models():
            try:
                entries[row.name] = self.Entry(row, app=self.app)
            except Error:
                raise
            except Exception as error:
                logger.error("beat: %s can't be read, and doesn't run: %r", row.name, error)
        return entries

    @property
    def schedule(self) -> dict[str, ScheduleEntry]:
        """Return the entries by name, read again when something changed.

        :raises django.db.Error: there is no schedule yet, and none can be read.
        """
        first = self._entries is None
        try:
            close_old_connections()
            if first:
                self.update_from_dict(self.app.conf.beat_schedule)
            now = time.monotonic()
            overdue = now - self._last_full_read > FULL_READ
            if self.schedule_changed() or now >= self._read_at or overdue:
                self._read_at = 0.0  # also if it fails
                self._read()
        except Error as error:
            if first:
                raise
            self._database_failed(error)
        assert self._entries is not None  # noqa: S101 - or it has raised
        return self._entries

    def schedule_changed(self) -> bool:
        """Return whether the tables changed since the last call.

        :raises django.db.Error: they can't be read.
        """
        before, self._last_change = self._last_change, self.Changes.last_change()
        return bool(self._last_change != before)

    def schedules_equal(self, *args: Any, **kwargs: Any) -> bool:
        """Return whether the order in which entries are due is still that of the last tick."""
        reordered, self._reordered = self._reordered, False
        return not reordered and bool(super().schedules_equal(*args, **kwargs))

    def _read(self) -> None:
        schedule = self.all_as_schedule()
        if self._entries is not None:
            logger.info("beat: the schedule changed, or it was time to look")
            self._reordered = True
        self._entries = schedule
        self._read_at = math.inf
        self._last_full_read = time.monotonic()

    def sync(self) -> None:
        """Do nothing: each tick has written what there is."""

    def close(self) -> None:
        """Let another beat lead at once."""
        super().close()
        self.leader.close()

    @property
    def is_cut_off(self) -> bool:
        """Whether the database could not be reached in the last tick."""
        return self._outage

    def _database_failed(self, error: Error) -> None:
        self._reached = False
        if only_reads(error):
            connections[router.db_for_write(self.Model)].close()
            self.leader.close()
        if not self._outage:
            logger.warning("beat: the database can't be used, trying again: %s", error)
        self._outage = True

    def update_from_dict(self, mapping: dict[str, dict[str, Any]]) -> None:
        """Write ``CELERY_BEAT_SCHEDULE`` into the tables (see from_settings.py).

        :raises django.db.Error: the database is away; it must be done again.
        """
        from_settings.write(mapping, self.Entry)

    def install_default_entries(self, data: Any) -> None:
        """Install none; durable.housekeeping declares its own."""
