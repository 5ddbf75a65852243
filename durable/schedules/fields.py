"""A schedule as plain values, from a declaration and from django-celery-beat's row alike."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from .declare import CRONTAB_FIELDS, Schedule

#: One value for each thing that a declaration says, so that two of them can be compared.
Fields = dict[str, Any]


def of_declaration(schedule: Schedule) -> Fields:
    """Return the fields that *schedule* asks for."""
    if schedule.interval:
        timing = ["every", *schedule.interval]
    else:
        assert schedule.crontab is not None  # noqa: S101 - Schedule has one of the two
        timing = ["crontab", *schedule.crontab.split(), str(settings.CELERY_TIMEZONE)]
    return {
        "task": schedule.task,
        "timing": timing,
        "args": schedule.args,
        "kwargs": schedule.kwargs,
        "queue": schedule.queue,
        "description": schedule.description,
        "enabled": True,
    }


def of_row(row: PeriodicTask) -> Fields:
    """Return the fields that *row* has, as a person may have left them."""
    timing: list[Any] = ["other", str(row.scheduler)]
    if row.interval:
        timing = ["every", row.interval.every, row.interval.period]
    elif row.crontab:
        crontab = [getattr(row.crontab, field) for field in CRONTAB_FIELDS]
        timing = ["crontab", *crontab, str(row.crontab.timezone)]
    return {
        "task": row.task,
        "timing": timing,
        "args": _plain(row.args, []),
        "kwargs": _plain(row.kwargs, {}),
        "queue": row.queue or None,
        "description": row.description,
        "enabled": row.enabled,
    }


def write(row: PeriodicTask, fields: Fields) -> None:
    """Set *fields* on *row*, without saving it."""
    for name, value in fields.items():
        if name == "timing":
            _set_timing(row, value)
        elif name in {"args", "kwargs"}:
            setattr(row, name, json.dumps(value))
        else:
            setattr(row, name, value)


def _plain(text: str, empty: Any) -> Any:
    try:
        return json.loads(text) if text else empty
    except ValueError:
        return text  # not JSON, so not what any code declared


def _set_timing(row: PeriodicTask, timing: list[Any]) -> None:
    kind, *values = timing
    row.interval = row.crontab = row.solar = row.clocked = None
    if kind == "every":
        row.interval = _shared(
            IntervalSchedule, dict(zip(("every", "period"), values, strict=True))
        )
    else:
        names = (*CRONTAB_FIELDS, "timezone")
        row.crontab = _shared(CrontabSchedule, dict(zip(names, values, strict=True)))


def _shared(model: Any, values: dict[str, Any]) -> Any:
    # Several tasks share one row, and the table may hold the same one twice.
    return model.objects.filter(**values).first() or model.objects.create(**values)
