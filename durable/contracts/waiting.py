"""Calls that this code could not run: rows that wait, periodic tasks, the last release's tasks."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from inspect import Signature
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.db import connections

from durable.queue import conf, overview
from durable.queue.models import Task

from .signatures import narrowed, read, refusal, signature, tasks


class Problem(NamedTuple):
    """Calls that this code could not run."""

    task: str
    #: Where they are: rows, a periodic task, the list.
    where: str
    why: str
    #: How many rows wait for it.
    rows: int = 0

    def __str__(self) -> str:
        return f"{self.task}: {self.where}: {self.why}"


def problems(released: Path | None = None) -> list[Problem]:
    """Return all that could not be called, the rows first.

    :raises django.db.Error: the database is away.
    :raises ListError: the list of the last release can't be read.
    """
    known = {name: signature(task) for name, task in tasks().items()}
    found = list(of_rows(known))
    if apps.is_installed("durable.schedules"):
        found += of_schedules(known)
    path = released or getattr(settings, "RELEASED_TASKS", None)
    return found + (list(of_list(known, Path(path))) if path else [])


def of_rows(known: dict[str, Signature]) -> Iterator[Problem]:
    """Yield what can't be called of the rows; of a first start there is no table yet."""
    connection = connections[conf.alias()]
    if Task._meta.db_table not in connection.introspection.table_names():
        return
    for name, count, names, rows in overview.shapes():
        if why := _why(known, name, count, names):
            yield Problem(name, _rows(rows), why, rows)
    for name, rows in overview.following():
        if why := _why(known, name):
            yield Problem(name, f"{_rows(rows)} as the next task", why, rows)


def of_schedules(known: dict[str, Signature]) -> Iterator[Problem]:
    """Yield the periodic tasks that can't be called, once those in code are synchronized."""
    from django_celery_beat.models import PeriodicTask

    from durable.schedules.declare import declared
    from durable.schedules.fields import of_row
    from durable.schedules.models import DeclaredSchedule

    tables = connections[PeriodicTask.objects.db].introspection.table_names()
    if not {PeriodicTask._meta.db_table, DeclaredSchedule._meta.db_table} <= set(tables):
        return
    in_code = {schedule.name for schedule in declared()}
    bases = {base.name: base.declared for base in DeclaredSchedule.objects.all()}
    for row in PeriodicTask.objects.filter(enabled=True).order_by("name"):
        fields, base = of_row(row), bases.get(row.name)
        follows = [key for key in ("task", "args", "kwargs") if base and fields[key] == base[key]]
        if base and (len(follows) == 3 if row.name in in_code else fields == base):
            continue  # sync_schedules brings it up to date, or deletes it
        args, kwargs = fields["args"], fields["kwargs"]
        if isinstance(args, list) and isinstance(kwargs, dict) and (
            why := _why(known, row.task, len(args), list(kwargs))
        ):  # fmt: skip
            yield Problem(row.task, f"periodic task {row.name!r}", why)


def of_list(known: dict[str, Signature], path: Path) -> Iterator[Problem]:
    """Yield the tasks of the list *path* that are gone, or take less than they did."""
    for name, old in read(path).items():
        new = known.get(name)
        if why := narrowed(old, new) if new else _why(known, name):
            yield Problem(name, f"the list of the last release ({path.name})", why)


def _rows(count: int) -> str:
    return f"{count} {'row waits' if count == 1 else 'rows wait'} for it"


def _why(known: dict[str, Signature], name: str, count: int | None = None, names: Any = ()) -> str:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        return f"there is no such task{f'; is it {close[0]} now?' if close else ''}"
    return refusal(known[name], count, names) if count is not None else ""
