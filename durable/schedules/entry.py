"""A periodic task as beat keeps it; writes nothing but what beat itself has to say about it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery.schedules import crontab, schedstate, solar
from celery.utils.log import get_logger
from celery.utils.time import maybe_make_aware
from django.db import connections, router
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import ModelEntry
from django_celery_beat.tzcrontab import TzAwareCrontab
from django_celery_beat.utils import NEVER_CHECK_TIMEOUT

from .conf import LATE
from .crontab import Crontab

logger = get_logger(__name__)


class Entry(ModelEntry):  # type: ignore[misc]
    """A periodic task, with what the database says of its last run.

    Upstream writes the row back whole, and with it the values that a person or another beat changed
    in between. Here every write is an UPDATE that finds its row only in the state that this beat
    knows, so that a beat which is behind can change nothing.
    """

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        # Before upstream puts another value into a new one's row, and for what _disable() needs.
        self.stored: tuple[datetime | None, int] = (model.last_run_at, model.total_run_count)
        self.model = model
        super().__init__(model, app=app)
        schedule = getattr(self, "schedule", None)
        if isinstance(schedule, TzAwareCrontab):
            self.schedule = Crontab.of(schedule)

    def write(self, **values: Any) -> bool:
        """Change the row; ``False`` if it is not as this beat knows it, or is disabled."""
        last_run_at, total_run_count = self.stored
        rows = PeriodicTask.objects.filter(
            pk=self.model.pk,
            enabled=True,
            last_run_at=last_run_at,
            total_run_count=total_run_count,
        )
        return bool(rows.update(**values))

    def is_due(self) -> Any:
        once = self.model.one_off or self.model.clocked_id
        if once and self.model.enabled and self.model.total_run_count > 0:
            self._disable(self.model)
            return schedstate(False, NEVER_CHECK_TIMEOUT)
        self._mend_last_run()
        return super().is_due()

    def _mend_last_run(self) -> None:
        """Let a last run that is still to come be now: the clock was wrong then, and is right now.

        The task would wait until that time, and an interval longer. Which clock is wrong is told
        by PostgreSQL's, the one that all beats share. A last run just after a crontab's next time
        was that one's run, by a clock that is fast: to mend it would repeat it.
        """
        last_run_at, count = self.stored
        late = timedelta(seconds=LATE)
        # Asked only where this machine's clock gives reason to.
        if last_run_at is None or last_run_at - timezone.now() <= late:
            return
        now = _database_now()
        if last_run_at - now <= late or self._was_run_early(now, last_run_at):
            return
        logger.warning(
            "beat: %s has run at %s, which is to come; now counts", self.name, last_run_at
        )
        if self.write(last_run_at=now):
            self.stored = now, count
            self.last_run_at = self.model.last_run_at = now

    def _was_run_early(self, now: datetime, last_run_at: datetime) -> bool:
        """Return whether *last_run_at* is before the second of the times that follow *now*."""
        if not isinstance(self.schedule, (crontab, solar)):
            return False  # one that has no times of day
        return last_run_at < self._next_time(self._next_time(now))

    def _next_time(self, after: datetime) -> datetime:
        remaining = self._remaining(after)
        following: datetime = self.schedule.now() + remaining
        return following

    def _remaining(self, last_run_at: datetime) -> timedelta:
        last = maybe_make_aware(last_run_at).astimezone(self.app.timezone)
        remaining: timedelta = self.schedule.remaining_estimate(last)
        return remaining

    def _disable(self, model: PeriodicTask) -> None:
        """Disable the row: it has expired, has run its one time, or makes no sense."""
        # As upstream's save() does, so that it starts afresh when a person enables it again.
        afresh: dict[str, Any] = {"enabled": False, "last_run_at": None}
        if model.one_off or model.clocked_id:
            afresh["total_run_count"] = 0
        if self.write(**afresh):
            PeriodicTasks.update_changed()
        model.enabled = False

    def missed_by(self) -> float:
        """Return how many seconds ago the task should have run; 0 or less: it is not late.

        The first run counts from the task's last change on, as beat counts it, or is at its
        ``start_time``.
        """
        model, (last_run_at, count) = self.model, self.stored
        now = timezone.now()
        if not model.enabled or (model.expires and model.expires <= now):
            return 0.0
        if (model.one_off or model.clocked_id) and count:
            return 0.0
        since = last_run_at or model.date_changed
        if since is None:
            return 0.0
        late: float = -self._remaining(since).total_seconds()
        if model.start_time is None:
            return late
        begun: float = (now - model.start_time).total_seconds()
        if last_run_at is None and not model.clocked_id:
            return min(begun, (now - since).total_seconds())
        return min(late, begun)

    @property
    def repeats(self) -> bool:
        """Whether a missed run may be skipped: it has run, and will have another time."""
        return not (self.model.one_off or self.model.clocked_id or self.stored[0] is None)

    def save(self) -> None:
        """Do nothing: each tick has written what there is."""


def _database_now() -> datetime:
    """Return the time by PostgreSQL's clock.

    :raises django.db.Error: it can't be reached.
    """
    with connections[router.db_for_write(PeriodicTask)].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
