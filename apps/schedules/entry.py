"""A periodic task as beat keeps it; writes nothing but what beat itself has to say about it."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any

from celery.schedules import schedstate
from celery.utils.log import get_logger
from celery.utils.time import maybe_make_aware, maybe_timedelta
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import ModelEntry
from django_celery_beat.utils import NEVER_CHECK_TIMEOUT

from .conf import LATE

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

        The task would wait until that time, and an interval longer.
        """
        now, (last_run_at, count) = timezone.now(), self.stored
        if last_run_at is None or (last_run_at - now).total_seconds() <= LATE:
            return
        logger.warning(
            "beat: %s has run at %s, which is to come; now counts", self.name, last_run_at
        )
        if self.write(last_run_at=now):
            self.stored = now, count
            self.last_run_at = self.model.last_run_at = now

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
        """Return how many seconds ago the task should have run.

        0 for one with a single time, and for one that has never run: upstream counts its last run
        as 30 years ago, so that it starts at its ``start_time``.
        """
        if self.model.one_off or self.model.clocked_id or self.stored[0] is None:
            return 0.0
        last = maybe_make_aware(self.last_run_at).astimezone(self.app.timezone)
        remaining: float = self.schedule.remaining_estimate(last).total_seconds()
        return -remaining

    def save(self) -> None:
        """Do nothing: each tick has written what there is."""


def with_expiry(given: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of ``CELERY_BEAT_SCHEDULE`` whose option ``expires`` is as the row has it.

    Celery's documentation names it like that, for seconds or a ``timedelta``; upstream drops it.
    """
    options = dict(given.get("options") or {})
    expires = options.pop("expires", None)
    if expires is not None:
        options.setdefault("expire_seconds", ceil(maybe_timedelta(expires).total_seconds()))
    return {**given, "options": options}
