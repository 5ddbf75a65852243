"""The scheduler itself, tick by tick, on the real database and broker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import (
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)
from pytest_django import Settings

from apps.schedules.scheduler import DatabaseScheduler
from proj.celery import app
from tests.fixtures_worker import purge_queues

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def heartbeat(settings: Settings, tmp_path: Path) -> Path:
    settings.HEARTBEAT_DIR = str(tmp_path)
    return tmp_path / "proj-beat.heartbeat"


@pytest.fixture(autouse=True)
def _broker() -> Iterator[None]:
    purge_queues()
    yield
    purge_queues()


def sent() -> list[str]:
    """Return the names of the periodic tasks in the queue, oldest first, and empty it."""
    import json

    with app.connection_for_read() as broker:
        client = broker.default_channel.client
        messages = [json.loads(raw) for raw in client.lrange("default", 0, -1)]
        client.delete("default")
    return [message["headers"]["periodic_task_name"] for message in reversed(messages)]


def tick(scheduler: DatabaseScheduler) -> None:
    """Tick until nothing is due."""
    while scheduler.tick() == 0:
        pass


def periodic(name: str = "p", **fields: Any) -> PeriodicTask:
    """Make a task that was due an hour ago."""
    fields.setdefault("interval", IntervalSchedule.objects.create(every=30, period="minutes"))
    fields.setdefault("last_run_at", timezone.now() - timedelta(hours=1))
    return PeriodicTask.objects.create(name=name, task="proj.celery.debug_task", **fields)


def test_a_due_task_is_sent_once_and_that_is_in_the_database_at_once() -> None:
    task = periodic()
    tick(DatabaseScheduler(app))
    assert sent() == ["p"]
    task.refresh_from_db()
    assert task.total_run_count == 1
    # Another beat, as after a kill -9 of the first one, has nothing to repeat.
    tick(DatabaseScheduler(app))
    assert sent() == []


def test_upstreams_single_statement_cleanup_is_not_scheduled() -> None:
    tick(DatabaseScheduler(app))
    assert app.conf.result_expires
    assert not PeriodicTask.objects.exists()


def test_a_daily_task_that_was_missed_for_hours_runs_once() -> None:
    long_ago = (timezone.now() - timedelta(hours=9)).hour
    crontab = CrontabSchedule.objects.create(minute="0", hour=str(long_ago), timezone="UTC")
    yesterday = timezone.now() - timedelta(days=1)
    periodic(interval=None, crontab=crontab, last_run_at=yesterday - timedelta(hours=1))
    tick(DatabaseScheduler(app))
    assert sent() == ["p"]


def test_a_change_is_seen_at_the_next_tick_also_from_a_machine_whose_clock_is_slow() -> None:
    task = periodic(last_run_at=timezone.now())
    scheduler = DatabaseScheduler(app)
    tick(scheduler)
    assert sent() == []
    task.last_run_at = timezone.now() - timedelta(hours=1)
    task.save()
    PeriodicTasks.objects.update(last_update=timezone.now() - timedelta(days=1))
    tick(scheduler)
    assert sent() == ["p"]


def test_a_change_between_the_first_read_and_the_second_look_is_seen() -> None:
    scheduler = DatabaseScheduler(app)
    assert dict(scheduler.schedule) == {}
    periodic()
    assert list(scheduler.schedule) == ["p"]


def test_writing_when_a_task_ran_leaves_a_persons_change_alone() -> None:
    task = periodic()
    scheduler = DatabaseScheduler(app)
    entry = scheduler.schedule["p"]
    PeriodicTask.objects.update(queue="mail", description="Changed meanwhile.")
    next(entry)
    entry.save()
    task.refresh_from_db()
    assert (task.total_run_count, task.queue) == (1, "mail")
    assert task.description == "Changed meanwhile."


@pytest.mark.parametrize("gone", ["disabled", "deleted"])
def test_a_task_that_is_gone_meanwhile_is_no_error(gone: str) -> None:
    task = periodic()
    scheduler = DatabaseScheduler(app)
    next(scheduler.schedule["p"])
    scheduler._dirty.add("p")
    if gone == "disabled":
        PeriodicTask.objects.update(enabled=False, last_run_at=None)
    else:
        task.delete()
    scheduler.sync()
    assert not scheduler._dirty
    assert not PeriodicTask.objects.exclude(last_run_at=None).exists()


def test_each_tick_that_reached_the_database_beats(heartbeat: Path) -> None:
    scheduler = DatabaseScheduler(app)
    assert not heartbeat.exists()
    scheduler.tick()
    first = heartbeat.read_text()
    assert float(first.split()[1]) >= 30
    scheduler.tick()
    assert heartbeat.read_text() > first


def test_a_long_loop_interval_is_no_reason_to_count_as_stopped(heartbeat: Path) -> None:
    DatabaseScheduler(app, max_interval=300).tick()
    assert float(heartbeat.read_text().split()[1]) == 600


class TestWithoutTheDatabase:
    """The table is away; so may be the whole server (tests/test_beat.py)."""

    @pytest.fixture(autouse=True)
    def _table(self) -> Iterator[None]:
        yield
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE IF EXISTS hidden RENAME TO django_celery_beat_periodictask")

    def hide(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE django_celery_beat_periodictask RENAME TO hidden")

    def show(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden RENAME TO django_celery_beat_periodictask")

    def test_a_start_without_it_waits_and_does_not_beat(self, heartbeat: Path) -> None:
        periodic()
        self.hide()
        scheduler = DatabaseScheduler(app)
        assert scheduler.tick() == 1
        assert scheduler.tick() == 1
        assert not heartbeat.exists()
        self.show()
        tick(scheduler)
        assert sent() == ["p"]
        assert heartbeat.exists()

    def test_it_goes_on_with_the_schedule_it_has_and_writes_down_later_what_ran(
        self, heartbeat: Path
    ) -> None:
        task = periodic()
        scheduler = DatabaseScheduler(app)
        assert scheduler.schedule
        self.hide()
        tick(scheduler)
        assert sent() == ["p"]
        beat = heartbeat.read_text() if heartbeat.exists() else ""
        PeriodicTasks.update_changed()
        tick(scheduler)
        assert sent() == []
        assert (heartbeat.read_text() if heartbeat.exists() else "") == beat
        self.show()
        tick(scheduler)
        assert sent() == []
        assert heartbeat.read_text() > beat
        task.refresh_from_db()
        assert task.total_run_count == 1
