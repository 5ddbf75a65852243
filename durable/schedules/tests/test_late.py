"""Which periodic tasks count as late: one answer for beat, the console, the doctor, `/metrics`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, PeriodicTask

from durable.schedules.late import late

from .scheduling import periodic

pytestmark = pytest.mark.django_db

#: Of `periodic()`: every half an hour, the last time an hour ago.
HALF_AN_HOUR, HOUR = 1800.0, 3600.0


#: Before the test, which may begin minutes after all of them were collected.
Ago = timedelta


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def changed(seconds: float, **fields: Any) -> None:
    """Make a task that was last changed so long ago."""
    made = periodic(**fields)
    PeriodicTask.objects.filter(pk=made.pk).update(date_changed=ago(seconds))


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, HALF_AN_HOUR),
        ({"last_run_at": Ago(seconds=HALF_AN_HOUR + 30)}, None),
        ({"enabled": False}, None),
        ({"expires": Ago(seconds=10)}, None),
        ({"start_time": Ago(seconds=-10)}, None),
        ({"start_time": Ago(seconds=600)}, 600),
        ({"last_run_at": None}, HALF_AN_HOUR),
        ({"last_run_at": None, "start_time": Ago(seconds=600)}, 600),
        ({"last_run_at": None, "start_time": Ago(seconds=9000)}, HOUR),
        ({"one_off": True, "total_run_count": 1}, None),
        ({"one_off": True, "last_run_at": None}, HALF_AN_HOUR),
    ],
    ids=["missed", "within its patience", "off", "expired", "begins later", "began lately",
         "never ran", "never ran since its start", "never ran and began before it was changed",
         "ran its one time", "never ran its one time"],
)  # fmt: skip
def test_a_task_is_late_from_the_time_that_beat_would_have_called_it(
    fields: dict[str, Any], seconds: float | None
) -> None:
    now = timezone.now()
    at = {name: now - one if isinstance(one, Ago) else one for name, one in fields.items()}
    changed(HOUR, **at)
    found = [one.seconds for one in late()]
    assert found == ([] if seconds is None else [pytest.approx(seconds, abs=120)])


def test_a_task_of_one_moment_that_has_passed_is_late() -> None:
    at = ClockedSchedule.objects.create(clocked_time=ago(600))
    changed(HOUR, interval=None, clocked=at, one_off=True, last_run_at=None)
    assert [one.seconds for one in late()] == [pytest.approx(600, abs=120)]
