"""How an app declares its periodic tasks: ``SCHEDULES = [Schedule(...), ...]`` in its schedules.py.

``entrypoint migrate`` writes them into django-celery-beat's tables (see sync.py), where a person
may change them in the admin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celery.schedules import crontab

from durable.discovery import modules

#: The fields of a crontab text, in its order, by the names that Celery gives them.
CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")

#: django-celery-beat stores an interval as a whole number of one of these, largest first.
PERIODS = (
    ("days", timedelta(days=1)),
    ("hours", timedelta(hours=1)),
    ("minutes", timedelta(minutes=1)),
    ("seconds", timedelta(seconds=1)),
    ("microseconds", timedelta(microseconds=1)),
)

NAME_MAX_LENGTH = 200


class ScheduleError(ValueError):
    """A declaration is wrong; the message names it and says what would be right."""


@dataclass(frozen=True)
class Schedule:
    """A periodic task: what runs, and when. A wrong one is a ``ScheduleError`` at its import.

    :param name: unique in the whole project; changing it makes another schedule.
    :param task: the task's name, such as ``apps.reports.tasks.expire``.
    :param every: the time between two runs; or
    :param crontab: ``"minute hour day-of-month month day-of-week"`` in ``CELERY_TIMEZONE``.
    :param queue: sent there instead of where ``CELERY_TASK_ROUTES`` says.
    """

    name: str
    task: str
    every: timedelta | None = None
    crontab: str | None = None
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= NAME_MAX_LENGTH:
            raise self._wrong(f"its name must have 1 to {NAME_MAX_LENGTH} characters")
        if not self.task or len(self.task) > NAME_MAX_LENGTH:
            raise self._wrong("task must be the name of a task")
        if (self.every is None) == (self.crontab is None):
            raise self._wrong("give exactly one of every= and crontab=")
        if self.every is not None and self.every <= timedelta(0):
            raise self._wrong(f"every={self.every!r} must be more than nothing")
        if self.crontab is not None:
            self._check_crontab(self.crontab)
        try:
            plain = json.loads(json.dumps([self.args, self.kwargs]))
        except (TypeError, ValueError) as error:
            raise self._wrong(f"args and kwargs must be JSON ({error})") from error
        if plain != [self.args, self.kwargs] or not isinstance(self.args, list):
            raise self._wrong("args must be a list, kwargs a dict with texts as keys, both JSON")

    def _wrong(self, reason: str) -> ScheduleError:
        return ScheduleError(f"schedule {self.name!r}: {reason}")

    def _check_crontab(self, text: str) -> None:
        fields = text.split()
        if len(fields) != len(CRONTAB_FIELDS):
            raise self._wrong(
                f"crontab={text!r} must have five fields: minute hour day-of-month month "
                "day-of-week"
            )
        try:
            crontab(**dict(zip(CRONTAB_FIELDS, fields, strict=True)))
        except (ValueError, TypeError) as error:
            raise self._wrong(f"crontab={text!r}: {error}") from error

    @property
    def interval(self) -> tuple[int, str] | None:
        """Return ``every`` as django-celery-beat stores it, such as ``(90, "seconds")``."""
        if self.every is None:
            return None
        period, unit = next((name, unit) for name, unit in PERIODS if not self.every % unit)
        return self.every // unit, period


def declared() -> list[Schedule]:
    """Return the schedules of every installed app of this project, in the order of the apps.

    :raises ScheduleError: two of them have the same name, or ``SCHEDULES`` is missing.
    """
    found: dict[str, tuple[Schedule, str]] = {}
    for found_module in modules("schedules"):
        module = found_module.__name__
        schedules = getattr(found_module, "SCHEDULES", None)
        if schedules is None:
            raise ScheduleError(f"{module} must have SCHEDULES, a list of Schedule(...)")
        for schedule in schedules:
            if schedule.name in found:
                raise ScheduleError(
                    f"schedule {schedule.name!r} is declared in {found[schedule.name][1]} and "
                    f"in {module}: names must be unique"
                )
            found[schedule.name] = schedule, module
    return [schedule for schedule, _ in found.values()]
