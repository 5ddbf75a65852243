"""A crontab that runs through the hour which there is twice when the clocks go back.

Celery goes by the clock on the wall: after 02:55 comes 03:00, and everything pauses for an hour
(two, if it is due every second hour). As cron does it, a crontab whose minutes or hours are ``*``
(``*/5`` as well) means each of them, and one of fixed times means each of these once a day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.utils.time import ffwd as Forward  # noqa: N812
from django_celery_beat.tzcrontab import TzAwareCrontab

MINUTE = timedelta(minutes=1)


class Crontab(TzAwareCrontab):  # type: ignore[misc]
    """A crontab in a time zone."""

    @classmethod
    def of(cls, upstream: TzAwareCrontab) -> Crontab:
        """Return *upstream* as one of these."""
        return cls(*upstream.__reduce__()[1])

    @property
    def _runs_through(self) -> bool:
        given: Any = self.__reduce__()[1]  # minute, hour, …
        starts = (str(given[0])[:1], str(given[1])[:1])
        return "*" in starts or len(self.hour) == 24

    def remaining_delta(
        self, last_run_at: datetime, tz: Any = None, ffwd: Any = Forward
    ) -> tuple[datetime, Any, datetime]:
        """Return the next time, nothing that is to be added to it, and now."""
        start, delta, now = super().remaining_delta(last_run_at, tz, ffwd)
        # The sum has lost which of the two hours it was.
        following = (start + delta).replace(fold=start.fold)
        if self._runs_through and (again := _clocks_go_back(start, following)):
            # As if the last run had been a minute before the hour's second time.
            before, delta, _ = super().remaining_delta(again - MINUTE, tz, ffwd)
            other = (before + delta).replace(fold=1)
            following = min(following, other, key=lambda time: time.astimezone(UTC))
        return following, timedelta(0), now


def _clocks_go_back(start: datetime, end: datetime) -> datetime | None:
    """Return the first time that is shown again, between *start* and *end* of one time zone."""
    before, after = start.utcoffset(), end.utcoffset()
    if before is None or after is None or before <= after:
        return None
    earliest, latest = start.astimezone(UTC), end.astimezone(UTC)
    while latest - earliest > timedelta(milliseconds=1):
        middle = earliest + (latest - earliest) / 2
        if middle.astimezone(start.tzinfo).utcoffset() == before:
            earliest = middle
        else:
            latest = middle
    shown = (latest + MINUTE / 2).astimezone(start.tzinfo)
    return shown.replace(second=0, microsecond=0)
