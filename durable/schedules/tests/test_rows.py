"""Rows that make no sense, as a script or another version leaves them: no form checks them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    PeriodicTask,
    SolarSchedule,
)

from .scheduling import StartBeat, periodic, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)


def unknown_time_zone() -> dict[str, Any]:
    """Make a crontab in a time zone that was known where it was written, and isn't here."""
    crontab = CrontabSchedule.objects.create(minute="0")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_crontabschedule SET timezone = 'Nowhere/Else'")
    return {"interval": None, "crontab_id": crontab.pk}


def without_ephem() -> dict[str, Any]:
    """Make a schedule by the sun, which takes a package that isn't installed."""
    solar = SolarSchedule.objects.create(event="sunrise", latitude=52, longitude=13)
    return {"interval": None, "solar": solar}


def unreadable_crontab() -> dict[str, Any]:
    """Make a crontab that can't be parsed."""
    return {"interval": None, "crontab": CrontabSchedule.objects.create(minute="soon")}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(unknown_time_zone, id="an unknown time zone"),
        pytest.param(without_ephem, id="the sun, without ephem"),
        pytest.param(unreadable_crontab, id="a crontab that can't be parsed"),
        pytest.param(lambda: {"interval": None}, id="no schedule"),
        pytest.param(lambda: {"headers": "[]"}, id="headers that are a list"),
        pytest.param(lambda: {"headers": "{"}, id="headers that aren't JSON"),
        pytest.param(lambda: {"args": "["}, id="arguments that aren't JSON"),
    ],
)
def test_a_row_that_makes_no_sense_holds_up_no_other_and_is_named(
    beat: StartBeat, caplog: pytest.LogCaptureFixture, fields: Any
) -> None:
    wrong = periodic("wrong")
    PeriodicTask.objects.filter(pk=wrong.pk).update(**fields())
    periodic("right")
    tick(beat())
    assert sent() == ["right"]
    assert "wrong" in caplog.text


def test_a_task_with_a_date_runs_once_also_if_its_row_does_not_say_so(beat: StartBeat) -> None:
    due = ClockedSchedule.objects.create(clocked_time=timezone.now() - timedelta(hours=1))
    task = periodic()
    PeriodicTask.objects.filter(pk=task.pk).update(interval=None, clocked=due, last_run_at=None)
    tick(beat())
    tick(beat())
    assert sent() == ["p"]
