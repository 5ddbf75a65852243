"""The scheduler itself, tick by tick, on the real database and broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app as app
from django.db import connection
from django.db.models.signals import pre_save
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    PeriodicTask,
    PeriodicTasks,
)
from kombu.utils.json import loads

from durable.queue.models import Task
from tests.fixtures_worker import wait_for

from .scheduling import StartBeat, periodic, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_due_task_is_sent_once_and_that_is_in_the_database_at_once(beat: StartBeat) -> None:
    task = periodic()
    tick(beat())
    assert sent() == ["p"]
    task.refresh_from_db()
    assert task.total_run_count == 1
    # Another beat, as after a kill -9 of the first one, has nothing to repeat.
    tick(beat())
    assert sent() == []


def test_upstreams_single_statement_cleanup_is_not_scheduled(beat: StartBeat) -> None:
    tick(beat())
    assert app.conf.result_expires
    assert not PeriodicTask.objects.exists()


def test_a_daily_task_that_was_missed_for_hours_runs_once(beat: StartBeat) -> None:
    long_ago = (timezone.now() - timedelta(hours=9)).hour
    crontab = CrontabSchedule.objects.create(minute="0", hour=str(long_ago), timezone="UTC")
    yesterday = timezone.now() - timedelta(days=1)
    periodic(interval=None, crontab=crontab, last_run_at=yesterday - timedelta(hours=1))
    tick(beat())
    assert sent() == ["p"]


def test_a_change_is_seen_at_the_next_tick_also_from_a_machine_whose_clock_is_slow(
    beat: StartBeat,
) -> None:
    task = periodic(last_run_at=timezone.now())
    scheduler = beat()
    tick(scheduler)
    assert sent() == []
    task.last_run_at = timezone.now() - timedelta(hours=1)
    task.save()
    PeriodicTasks.objects.update(last_update=timezone.now() - timedelta(days=1))
    tick(scheduler)
    assert sent() == ["p"]


def test_a_change_between_the_first_read_and_the_second_look_is_seen(beat: StartBeat) -> None:
    scheduler = beat()
    assert dict(scheduler.schedule) == {}
    periodic()
    assert list(scheduler.schedule) == ["p"]


def test_a_tick_leaves_a_persons_change_alone(beat: StartBeat) -> None:
    task = periodic()
    scheduler = beat()
    assert scheduler.schedule
    PeriodicTask.objects.update(queue="mail", description="Changed meanwhile.")
    tick(scheduler)
    task.refresh_from_db()
    assert (task.total_run_count, task.queue) == (1, "mail")
    assert task.description == "Changed meanwhile."


def test_a_person_who_saves_a_task_while_it_is_sent_does_not_repeat_it(
    beat: StartBeat, admin_client: Client
) -> None:
    task = periodic()
    url = f"/admin/django_celery_beat/periodictask/{task.pk}/change/"
    initial = admin_client.get(url).context["adminform"].form.initial
    form = {key: value for key, value in initial.items() if value is not None}
    scheduler = beat()

    def send() -> None:
        try:
            tick(scheduler)
        finally:
            connection.close()

    def meanwhile(sender: Any, **kwargs: Any) -> None:
        pre_save.disconnect(meanwhile, PeriodicTask)
        thread = threading.Thread(target=send)  # with a connection of its own
        thread.start()
        thread.join()

    pre_save.connect(meanwhile, PeriodicTask)
    assert admin_client.post(url, form | {"description": "New."}).status_code == 302
    tick(scheduler)
    assert sent() == ["p"]
    task.refresh_from_db()
    assert (task.total_run_count, task.description) == (1, "New.")


@pytest.mark.parametrize("gone", ["disabled", "deleted"])
def test_a_task_that_is_gone_meanwhile_is_not_sent(beat: StartBeat, gone: str) -> None:
    task = periodic()
    scheduler = beat()
    assert scheduler.schedule
    if gone == "disabled":
        PeriodicTask.objects.update(enabled=False, last_run_at=None)
    else:
        task.delete()
    tick(scheduler)
    assert sent() == []
    assert not PeriodicTask.objects.exclude(last_run_at=None).exists()


def test_a_task_with_one_time_runs_once_and_is_disabled(beat: StartBeat) -> None:
    due = ClockedSchedule.objects.create(clocked_time=timezone.now() - timedelta(hours=1))
    task = periodic(interval=None, clocked=due, one_off=True, last_run_at=None)
    tick(beat())
    tick(beat())
    assert sent() == ["p"]
    task.refresh_from_db()
    assert (task.enabled, task.last_run_at, task.total_run_count) == (False, None, 0)


def test_the_message_says_where_it_comes_from_and_goes_where_the_row_says(
    beat: StartBeat,
) -> None:
    periodic(queue="mail", priority=3, expire_seconds=60, headers='{"x": "y"}')
    tick(beat())
    row = Task.objects.get()
    own = {"x": "y", "periodic_task_name": "p", "celery_beat_task": True}
    assert own.items() <= loads(row.headers).items()
    assert (row.queue, row.priority) == ("mail", 3)
    assert row.expires is not None


def test_each_tick_that_reached_the_database_beats(beat: StartBeat, heartbeat: Path) -> None:
    scheduler = beat()
    assert not heartbeat.exists()
    scheduler.tick()
    first = heartbeat.read_text()
    assert float(first.split()[1]) >= 30

    def is_later() -> bool:  # two ticks may be within the thousandth of a second that it tells
        scheduler.tick()
        return float(heartbeat.read_text().split()[0]) > float(first.split()[0])

    wait_for(is_later, "a tick has renewed it")


def test_a_long_loop_interval_is_no_reason_to_count_as_stopped(
    beat: StartBeat, heartbeat: Path
) -> None:
    beat(max_interval=300).tick()
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

    def test_a_start_without_it_waits_and_does_not_beat(
        self, beat: StartBeat, heartbeat: Path
    ) -> None:
        periodic()
        self.hide()
        scheduler = beat()
        assert scheduler.tick() == 1
        assert scheduler.tick() == 1
        assert not heartbeat.exists()
        self.show()
        tick(scheduler)
        assert sent() == ["p"]
        assert heartbeat.exists()

    def test_what_came_due_meanwhile_runs_when_it_is_back(
        self, beat: StartBeat, heartbeat: Path
    ) -> None:
        task = periodic()
        scheduler = beat()
        assert scheduler.schedule
        self.hide()
        assert scheduler.tick() == 1
        assert not heartbeat.exists()
        assert scheduler.tick() == 1
        self.show()
        tick(scheduler)
        assert sent() == ["p"]
        assert heartbeat.exists()
        task.refresh_from_db()
        assert task.total_run_count == 1
