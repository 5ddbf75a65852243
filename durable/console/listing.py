"""Rows and entries of the journal as one list, the newest call first.

Both have the row's id, which is the order of the calls. A page reads ``SCAN`` of each at most,
however many there are, and says how far it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.utils import timezone

from durable.journal.models import Entry
from durable.queue import conf as queue
from durable.queue.models import Task

from . import conf
from .filters import ENDED, Filter

ROW = ("id", "task_id", "task", "queue", "created_at", "due_at", "worker", "started_at",
       "attempt", "quarantined_at", "error", "eligible_at")  # fmt: skip
ENTRY = ("id", "task_id", "task", "queue", "called_at", "due_at", "started_at", "ended_at",
         "attempt", "state", "result", "error", "replayed_at", "discarded_at")  # fmt: skip
STATE_OF = {state: name for name, states in ENDED.items() for state in states}


class Line(NamedTuple):
    """A task in the list."""

    id: int
    task_id: str
    task: str
    queue: str
    state: str
    at: datetime
    waited: float | None
    ran: float | None
    attempt: int
    says: str
    replayed: bool


class Page(NamedTuple):
    """A part of the list."""

    lines: list[Line]
    #: Where the next part begins; ``None``: this is the last one.
    before: int | None
    #: It ends because enough was read, and not because the page is full.
    searched: bool


def state_of(row: Any, now: datetime) -> str:
    """Return the state of a row (states.py) by its columns."""
    if row.quarantined_at:
        return "quarantined"
    if row.worker:
        return "running" if row.started_at else "held"
    if row.eligible_at:
        return "limited"
    return "scheduled" if row.due_at > now else "ready"


def ended_state(entry: Entry) -> str:
    """Return the state of an entry: of a failure that was discarded, that."""
    return "discarded" if entry.discarded_at else STATE_OF.get(entry.state, "done")


def rows(condition: Q) -> QuerySet[Task]:
    """Return the unfinished tasks for which *condition* holds."""
    return Task.objects.using(queue.alias()).filter(condition)


def entries(condition: Q) -> QuerySet[Entry]:
    """Return the ended tasks for which *condition* holds."""
    return Entry.objects.using(queue.alias()).filter(condition)


def page(asked: Filter, before: int | None = None, size: int = conf.PAGE) -> Page:
    """Return the tasks that *asked* finds, called before the one with the id *before*."""
    now, found, bound = timezone.now(), [], 0
    newest = Q(pk__lt=before) if before else Q()
    for every, wanted, floor in _sources(asked, newest):
        names, line = (ROW, _of_row) if every is rows else (ENTRY, _of_entry)
        some = [line(one, now) for one in wanted.order_by("-pk").only(*names)[: size + 1]]
        found += some
        if len(some) > size:
            bound = max(bound, some[-1].id + 1)
        elif floor is not None:
            bound = max(bound, floor)
    shown = sorted((one for one in found if one.id >= bound), key=lambda one: -one.id)
    if len(shown) > size:
        return Page(shown[:size], shown[size - 1].id, False)
    if not bound:
        return Page(shown, None, False)
    full = len(shown) == size
    return Page(shown, shown[-1].id if full else bound, not full)


def _sources(asked: Filter, newest: Q) -> Iterator[tuple[Any, QuerySet[Any], int | None]]:
    """Yield rows and entries, what *asked* finds of them, and from which id on it looks."""
    for every, condition, few, among in (
        (rows, asked.rows, asked.few_rows, Q()),
        (entries, asked.entries, asked.few_entries, asked.among),
    ):
        if condition is None:
            continue
        floor = None if few else _floor(every(newest & among))
        wanted = every(newest & condition)
        yield every, wanted if floor is None else wanted.filter(pk__gte=floor), floor


def _floor(base: QuerySet[Any]) -> int | None:
    """Return the id at which a search ends; ``None``: there is nothing beyond."""
    last = base.order_by("-pk").values_list("pk", flat=True)[conf.SCAN : conf.SCAN + 1]
    return next(iter(last), None)


def count(asked: Filter, most: int) -> tuple[int, int, bool]:
    """Return how many rows and entries *asked* finds, and whether there may be more.

    A count is bounded too, by *most* and by how many are looked at.
    """
    found, more = {rows: 0, entries: 0}, False
    for every, wanted, floor in _sources(asked, Q()):
        number = wanted.values("pk")[: most + 1].count()
        found[every] = min(number, most)
        more = more or number > most or floor is not None
    return found[rows], found[entries], more


def ids_after(cursor: int, every: QuerySet[Any], size: int) -> list[int]:
    """Return the next ids of *every* beyond *cursor*."""
    return list(every.filter(pk__gt=cursor).order_by("pk").values_list("pk", flat=True)[:size])


def _of_row(row: Task, now: datetime) -> Line:
    begun = row.started_at
    waited = ((begun or now) - row.wanted_at).total_seconds()
    ran = (now - begun).total_seconds() if begun else None
    return Line(
        row.pk, row.task_id, row.task, row.queue, state_of(row, now), row.created_at,
        max(0.0, waited), ran, row.attempt, row.error, False,
    )  # fmt: skip


def _of_entry(entry: Entry, now: datetime) -> Line:
    begun = entry.started_at
    waited = max(0.0, ((begun or entry.ended_at) - entry.due_at).total_seconds())
    ran = (entry.ended_at - begun).total_seconds() if begun else None
    says = (entry.result or "") if entry.state != "SUCCESS" else ""
    return Line(
        entry.pk, entry.task_id, entry.task, entry.queue, ended_state(entry),
        entry.called_at, waited, ran, entry.attempt, says, entry.replayed_at is not None,
    )  # fmt: skip


def every_state() -> Iterator[str]:
    """Yield the states in the order of a task's life."""
    yield from ("scheduled", "limited", "ready", "held", "running", "quarantined", *ENDED)
