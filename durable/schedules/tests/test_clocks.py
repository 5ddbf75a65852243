"""Clocks that are wrong, or go apart: they must neither stop a task nor repeat it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule
from django_celery_beat.tzcrontab import TzAwareCrontab

from .scheduling import StartBeat, periodic, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)

SetClock = Callable[[timedelta], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set this machine's clock forward or back; PostgreSQL's stays."""
    right = timezone.now

    def change(by: timedelta) -> None:
        monkeypatch.setattr(timezone, "now", lambda: right() + by)
        monkeypatch.setattr(
            TzAwareCrontab, "nowfunc", lambda self: (right() + by).astimezone(self.tz)
        )

    return change


def daily_at(time: datetime) -> CrontabSchedule:
    return CrontabSchedule.objects.create(
        minute=str(time.minute), hour=str(time.hour), timezone="UTC"
    )


def test_what_a_fast_clock_ran_early_is_not_run_again_at_its_time(
    beat: StartBeat, set_clock: SetClock
) -> None:
    ahead = (timezone.now() + timedelta(minutes=3)).replace(second=0, microsecond=0)
    ran = ahead + timedelta(milliseconds=20)
    task = periodic(interval=None, crontab=daily_at(ahead), last_run_at=ran)
    tick(beat())
    set_clock(timedelta(minutes=4))  # its time has come
    tick(beat())
    assert sent() == []
    set_clock(timedelta(days=1, minutes=4))
    tick(beat())
    assert sent() == ["p"], "the next day's is no repetition"
    task.refresh_from_db()
    assert task.total_run_count == 1


def test_a_beat_whose_clock_is_slow_repeats_nothing_that_ran_in_time(
    beat: StartBeat, set_clock: SetClock
) -> None:
    now = timezone.now()
    task = periodic(interval=None, crontab=daily_at(now), last_run_at=now)
    set_clock(timedelta(minutes=-5))
    tick(beat())
    task.refresh_from_db()
    assert task.last_run_at == now
    set_clock(timedelta(0))  # five minutes later
    tick(beat())
    assert sent() == []


def test_an_interval_is_not_begun_again_by_a_beat_whose_clock_is_slow(
    beat: StartBeat, set_clock: SetClock
) -> None:
    now = timezone.now()
    task = periodic(last_run_at=now)
    set_clock(timedelta(minutes=-5))
    tick(beat())
    task.refresh_from_db()
    assert task.last_run_at == now


@pytest.mark.parametrize("days", [3, 365])
def test_a_daily_task_does_not_wait_for_a_last_run_that_is_days_ahead(
    beat: StartBeat, days: int
) -> None:
    now = timezone.now()
    crontab = daily_at(now + timedelta(hours=3))
    task = periodic(interval=None, crontab=crontab, last_run_at=now + timedelta(days=days))
    tick(beat())
    assert sent() == []
    task.refresh_from_db()
    assert abs(task.last_run_at - now) < timedelta(minutes=1)


def test_a_last_run_in_the_future_is_no_reason_to_wait_for_it(beat: StartBeat) -> None:
    """The machine's clock was wrong when it ran, and was set right since."""
    task = periodic(last_run_at=timezone.now() + timedelta(days=365))
    scheduler = beat()
    tick(scheduler)
    assert sent() == [], "its interval begins now"
    task.refresh_from_db()
    assert abs(task.last_run_at - timezone.now()) < timedelta(minutes=1)
    task.last_run_at = timezone.now() - timedelta(minutes=31)
    task.save()
    tick(beat())
    assert sent() == ["p"]
