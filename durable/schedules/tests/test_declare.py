"""What an app may declare."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durable.schedules.declare import Schedule, ScheduleError, declared


def test_a_schedule_runs_every_so_often_or_at_a_crontab() -> None:
    assert Schedule("a", "t", every=timedelta(seconds=90)).interval == (90, "seconds")
    assert Schedule("a", "t", crontab="0 4 * * mon").interval is None


@pytest.mark.parametrize(
    ("every", "stored"),
    [
        (timedelta(days=7), (7, "days")),
        (timedelta(hours=36), (36, "hours")),
        (timedelta(minutes=5), (5, "minutes")),
        (timedelta(milliseconds=1500), (1_500_000, "microseconds")),
    ],
)
def test_an_interval_is_a_whole_number_of_the_largest_unit(
    every: timedelta, stored: tuple[int, str]
) -> None:
    assert Schedule("a", "t", every=every).interval == stored


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "exactly one of every= and crontab="),
        ({"every": timedelta(1), "crontab": "* * * * *"}, "exactly one"),
        ({"every": timedelta(0)}, "must be more than nothing"),
        ({"crontab": "* * * *"}, "five fields"),
        ({"crontab": "61 * * * *"}, "61"),
        ({"crontab": "* * * * someday"}, "someday"),
        ({"every": timedelta(1), "args": [object()]}, "must be JSON"),
        ({"every": timedelta(1), "args": ("a",)}, "must be a list"),
        ({"every": timedelta(1), "kwargs": {1: "a"}}, "texts as keys"),
        ({"every": timedelta(1), "task": ""}, "name of a task"),
        ({"every": timedelta(1), "name": "x" * 201}, "1 to 200 characters"),
    ],
)
def test_a_wrong_declaration_names_the_schedule_and_the_reason(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScheduleError, match=message) as caught:
        Schedule(**{"name": "nightly", "task": "t", **wrong})
    assert "schedule '" in str(caught.value)


def test_the_apps_of_this_project_declare_valid_schedules_with_unique_names() -> None:
    names = [schedule.name for schedule in declared()]
    assert len(names) == len(set(names))
