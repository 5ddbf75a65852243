"""A periodic task as beat keeps it; writes nothing but what beat itself has to say about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from celery.schedules import schedstate
from celery.utils.time import maybe_make_aware
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import ModelEntry
from django_celery_beat.utils import NEVER_CHECK_TIMEOUT


class Entry(ModelEntry):  # type: ignore[misc]
    """A periodic task, with what the database says of its last run.

    Upstream writes the row back whole, and with it the values that a person or another beat changed
    in between. Here every write is an UPDATE that finds its row only in the state that this beat
    knows, so that a beat which is behind can change nothing.
    """

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        # Before upstream puts another value into a new one's row.
        self.stored: tuple[datetime | None, int] = (model.last_run_at, model.total_run_count)
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
        if self.model.one_off and self.model.enabled and self.model.total_run_count > 0:
            self._disable(self.model)
            return schedstate(False, NEVER_CHECK_TIMEOUT)
        return super().is_due()

    def _disable(self, model: PeriodicTask) -> None:
        """Disable the row: it has expired, has run its one time, or makes no sense."""
        # As upstream's save() does, so that it starts afresh when a person enables it again.
        afresh: dict[str, Any] = {"enabled": False, "last_run_at": None}
        if model.one_off:
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
