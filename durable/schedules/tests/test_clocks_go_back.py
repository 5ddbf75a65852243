"""What is due more often than daily runs through when the clocks go back; the rest runs once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from celery import current_app as app
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from durable.schedules.entry import Entry


def times(crontab: str, zone: str, first: datetime, hours: int) -> list[str]:
    """Return when a crontab is due in the hours from *first* on, in UTC."""
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    row = CrontabSchedule(**dict(zip(names, crontab.split(), strict=True)), timezone=ZoneInfo(zone))
    task = PeriodicTask(name="p", task="t", crontab=row, last_run_at=first)
    schedule = Entry(task, app=app).schedule
    found, clock = [], [first.astimezone(ZoneInfo(zone))]
    schedule.nowfun = lambda: clock[0]
    for _ in range(20):
        due = clock[0].astimezone(UTC) + schedule.remaining_estimate(clock[0])
        if due >= first + timedelta(hours=hours):
            break
        found.append(f"{due:%H:%M}")
        clock[0] = due.astimezone(ZoneInfo(zone))
    return found


@pytest.mark.parametrize(
    ("crontab", "zone", "first", "hours", "due"),
    [
        # 03:00 becomes 02:00 at 01:00 UTC.
        ("*/30 * * * *", "Europe/Berlin", "2026-10-24 23:30", 3,
         ["00:00", "00:30", "01:00", "01:30", "02:00"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-24 23:00", 4, ["00:00", "01:00", "02:00"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-10-24 22:00", 6, ["00:00", "01:00", "03:00"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-24 01:00", 26,
         ["00:00", "00:30", "01:00", "01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24 01:00", 49, ["00:30", "01:30"]),
        ("0 2,14 * * *", "Europe/Berlin", "2026-10-24 12:00", 26, ["00:00", "13:00"]),
        # Half an hour only, and across midnight.
        ("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04 14:30", 2,
         ["14:45", "15:00", "15:15", "15:30", "15:45", "16:00", "16:15"]),
        ("*/30 * * * *", "Africa/Cairo", "2026-10-29 20:00", 3,
         ["20:30", "21:00", "21:30", "22:00", "22:30"]),
        # And forward: what the clocks leave out is not made up for.
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29 00:00", 2, ["00:30", "01:00", "01:30"]),
    ],
)  # fmt: skip
def test_each_time_is_due_as_cron_has_it(
    crontab: str, zone: str, first: str, hours: int, due: list[str]
) -> None:
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert times(crontab, zone, start, hours) == due
