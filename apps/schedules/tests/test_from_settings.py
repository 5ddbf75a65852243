"""Periodic tasks in ``CELERY_BEAT_SCHEDULE``, as Celery's documentation declares them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from proj.celery import app

from .scheduling import StartBeat, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)

WEEKLY = {"task": "proj.celery.debug_task", "schedule": timedelta(days=7)}


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    app.conf.beat_schedule = {"weekly": dict(WEEKLY)}
    yield
    app.conf.beat_schedule = {}


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
    app.conf.beat_schedule = {"wrong": {**WEEKLY, "colour": "red"}, "weekly": dict(WEEKLY)}
    tick(beat())
    assert "'wrong'" in caplog.text
    assert [task.name for task in PeriodicTask.objects.all()] == ["weekly"]


@pytest.mark.parametrize("expires", [90, 89.5, timedelta(seconds=90)])
def test_its_option_expires_holds_for_each_run(beat: StartBeat, expires: object) -> None:
    app.conf.beat_schedule = {"weekly": {**WEEKLY, "options": {"expires": expires}}}
    tick(beat())
    assert PeriodicTask.objects.get().expire_seconds == 90
