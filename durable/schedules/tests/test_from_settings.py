"""Periodic tasks in ``CELERY_BEAT_SCHEDULE``, as Celery's documentation declares them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from celery import current_app as app
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.queue.models import Task
from tests.fixtures_worker import database_url

from .scheduling import StartBeat, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)

WEEKLY = {"task": "proj.celery.debug_task", "schedule": timedelta(days=7)}


@pytest.fixture(autouse=True)
def _schedule(transactional_db: None) -> Iterator[None]:
    app.conf.beat_schedule = {"weekly": dict(WEEKLY)}
    yield
    app.conf.beat_schedule = {}
    connection.close()  # with what a test has set in its session


def test_one_that_never_ran_counts_from_its_first_day_however_often_beat_starts(
    beat: StartBeat,
) -> None:
    tick(beat())
    assert sent() == []
    PeriodicTask.objects.update(date_changed=timezone.now() - timedelta(days=8))
    tick(beat())
    assert sent() == ["weekly"]


def test_a_changed_one_is_written_at_the_next_start(beat: StartBeat) -> None:
    tick(beat())
    app.conf.beat_schedule = {"weekly": {**WEEKLY, "schedule": 60.0, "args": [1]}}
    tick(beat())
    task = PeriodicTask.objects.get()
    assert (task.interval.every, task.interval.period) == (60, IntervalSchedule.SECONDS)
    assert task.args == "[1]"


def test_a_wrong_one_is_named_and_holds_up_no_other(
    beat: StartBeat, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.beat_schedule = {"wrong": {**WEEKLY, "color": "red"}, "weekly": dict(WEEKLY)}
    tick(beat())
    assert "'wrong'" in caplog.text
    assert [task.name for task in PeriodicTask.objects.all()] == ["weekly"]


@pytest.mark.parametrize("expires", [90, 89.5, timedelta(seconds=90)])
def test_its_option_expires_holds_for_each_run(beat: StartBeat, expires: object) -> None:
    app.conf.beat_schedule = {"weekly": {**WEEKLY, "options": {"expires": expires}}}
    tick(beat())
    assert PeriodicTask.objects.get().expire_seconds == 90


@pytest.mark.parametrize("zone", [UTC, None])
def test_its_option_expires_may_be_a_date_after_which_it_runs_no_more(
    beat: StartBeat, zone: object
) -> None:
    date = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    given = date if zone else date.replace(tzinfo=None)  # which is one of CELERY_TIMEZONE
    app.conf.beat_schedule = {"weekly": {**WEEKLY, "options": {"expires": given}}}
    tick(beat())
    task = PeriodicTask.objects.get()
    assert (task.expires, task.expire_seconds) == (date, None)
    PeriodicTask.objects.update(date_changed=timezone.now() - timedelta(days=8))
    tick(beat())
    assert Task.objects.get().expires == date
    PeriodicTask.objects.update(expires=timezone.now())
    app.conf.beat_schedule = {}
    tick(beat())
    assert not PeriodicTask.objects.get().enabled


def test_seconds_in_the_place_of_a_date_hold(beat: StartBeat) -> None:
    date = timezone.now() + timedelta(days=30)
    app.conf.beat_schedule = {"weekly": {**WEEKLY, "options": {"expires": date}}}
    tick(beat())
    app.conf.beat_schedule = {"weekly": {**WEEKLY, "options": {"expires": 90}}}
    tick(beat())
    task = PeriodicTask.objects.get()
    assert (task.expires, task.expire_seconds) == (None, 90)


def test_they_are_written_once_a_server_that_only_read_is_left(
    beat: StartBeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = beat()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    monkeypatch.setattr(connection, "close_at", None)  # kept, as the role does
    tick(scheduler)
    tick(scheduler)
    assert [task.name for task in PeriodicTask.objects.all()] == ["weekly"]
    assert "is wrong" not in caplog.text


def test_they_are_written_once_nobody_locks_the_row(
    beat: StartBeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tick(beat())
    app.conf.beat_schedule = {"weekly": {**WEEKLY, "args": [1]}}
    scheduler = beat()
    monkeypatch.setattr(connection, "close_at", None)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(database_url()) as other:
        other.execute("SELECT 1 FROM django_celery_beat_periodictask FOR UPDATE")
        assert scheduler.tick() == 1
    tick(scheduler)
    assert PeriodicTask.objects.get().args == "[1]"
    assert "is wrong" not in caplog.text


def test_one_that_the_database_refuses_holds_up_no_other(
    beat: StartBeat, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.beat_schedule = {"x" * 201: dict(WEEKLY), "weekly": dict(WEEKLY)}
    tick(beat())
    assert "is wrong" in caplog.text
    assert [task.name for task in PeriodicTask.objects.all()] == ["weekly"]
