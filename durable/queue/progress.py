"""How far a task is: it says so beside its transaction, and others follow it until its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from celery import current_app, states
from celery.result import AsyncResult
from django.core import signing
from django.db import Error, connections
from django.db.models import Min, OuterRef, Subquery
from django.utils import timezone

from durable.database.text import storable
from durable.journal.models import Entry

from . import conf, overview, store
from .models import Progress, Task

logger = logging.getLogger(__name__)

#: Seconds between two words of a task that are written.
EVERY = 0.5
#: Seconds between two looks of those who follow it.
LOOK = 0.5
#: Keeps other texts that the project signs from passing for a task's id.
SALT = "durable.queue.progress"


class Event(NamedTuple):
    """How far a task is."""

    #: Of its row (states.py); then "done", "failed" or "revoked"; "unknown" of one that is neither.
    state: str
    attempt: int
    done: float | None
    total: float | None
    message: str
    finished: bool


def tell(
    task_id: str, row_id: int | None, attempt: int, done: float, total: float | None, message: str
) -> None:
    """Write how far a task is, so that others see it at once.

    Beside the transaction that it is in; one that can't be written costs the task nothing.
    """
    connection: Any = connections[conf.alias()]
    inside = connection.in_atomic_block
    if inside and not any(block._from_testcase for block in connection.atomic_blocks):
        connection = getattr(connection, "beside", connection)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                """INSERT INTO durable_progress AS told
                       (task_id, row_id, attempt, done, total, message, at)
                   VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp())
                   ON CONFLICT (task_id) DO UPDATE SET row_id = excluded.row_id,
                       attempt = excluded.attempt, done = excluded.done, total = excluded.total,
                       message = excluded.message, at = excluded.at
                   WHERE told.attempt <= excluded.attempt OR told.row_id <> excluded.row_id""",
                [task_id, row_id, attempt, done, total, storable(message)],
            )
    except Error as error:
        logger.debug("the progress of %s was not written: %s", task_id, error)


_ENDS = {states.SUCCESS: "done", states.REVOKED: "revoked"}


def look(task_id: str) -> Event:
    """Return how far a task is now."""
    told = Progress.objects.using(conf.alias()).filter(pk=task_id).first()
    rows = Task.objects.using(conf.alias())
    rows = rows.filter(pk=told.row_id) if told and told.row_id else rows.filter(task_id=task_id)
    row_id = rows.values_list("pk", flat=True).first()
    if row_id and (found := store.state(row_id)):
        state, attempt, finished = *found, False
    else:
        # In this order: the entry is written by the statement that deletes the row.
        ends = Entry.objects.using(conf.alias()).filter(task_id=task_id).order_by("-ended_at")
        entry = ends.values_list("state", "attempt").first()
        ended, attempt = entry or (AsyncResult(task_id, app=current_app).state, 0)
        finished = entry is not None or ended in states.READY_STATES
        state = _ENDS.get(ended, "failed") if finished else "unknown"
    if told is None:
        return Event(state, attempt, None, None, "", finished)
    return Event(state, attempt, told.done, told.total, told.message, finished)


def silence() -> float:
    """Return the seconds since the oldest last word, of the tasks that run and have said any."""
    alias = conf.alias()
    told = Progress.objects.using(alias).filter(
        pk=OuterRef("task_id"), row_id=OuterRef("pk"), attempt=OuterRef("attempt")
    )
    running = Task.objects.using(alias).filter(worker__isnull=False, started_at__isnull=False)
    said = running.annotate(said=Subquery(told.values("at"))).order_by("worker")[: overview.CAP]
    oldest = said.aggregate(Min("said"))["said__min"]
    return max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0


def task_events(task_id: str) -> Iterator[Event]:
    """Yield how far a task is, at once and whenever that has changed, until it has ended."""
    before = None
    while True:
        event = look(task_id)
        if event != before:
            yield event
        if event.finished:
            return
        before = event
        time.sleep(LOOK)


def token(task_id: str) -> str:
    """Return what lets those who have it follow a task, and no other."""
    return signing.Signer(salt=SALT).sign(task_id)


def task_id_of(token: str) -> str:
    """Return the id in a token.

    :raises django.core.signing.BadSignature: it is none.
    """
    return str(signing.Signer(salt=SALT).unsign(token))
