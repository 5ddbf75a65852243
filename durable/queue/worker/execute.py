"""The worker's side: a task runs only while its row exists, and ends in the row's transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import states
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from django.db import Error as DatabaseError
from django.db import connections, transaction

from durable.database.outage import lost_database
from durable.database.retry import is_away

from .. import conf, results, store
from ..endings import quarantine
from .attempt import Attempt, Phase, Superseded, Ticket, current

logger = logging.getLogger(__name__)

#: Seconds that a task waits for a database that is away, to begin and to say how it has ended.
PATIENCE = 60.0


def begin(attempt: Attempt) -> None:
    """Begin the row, and record that; wait for a database that is away.

    :raises Superseded: it is finished or runs elsewhere.
    :raises Reject: the database didn't come back; the worker lets go of the row.
    """
    task = attempt.task
    if task.request.is_eager:  # its retry comes with the headers of the first attempt
        assert attempt.ticket is not None  # noqa: S101 - this is of durable tasks
        found = store.hold_one(attempt.ticket.row_id, attempt.ticket.worker)
        attempt.ticket = attempt.ticket._replace(attempt=found)
    end, pause = time.monotonic() + PATIENCE, 0.0
    while True:
        try:
            number, stored = _begin(attempt)
            break
        except DatabaseError as error:
            if task.request.is_eager or not lost_database(error, conf.alias()):
                raise
            connections[conf.alias()].close()
            if time.monotonic() > end:
                raise Reject(error, requeue=True) from error
            time.sleep(pause)
            pause = 0.5  # not the first time: an idle connection that was closed is no outage
        except SoftTimeLimitExceeded as error:  # it has waited, and not begun
            raise Reject(error, requeue=True) from error
    if number is None:
        raise Superseded(f"{task.name}[{task.request.id}] is done, or runs elsewhere")
    attempt.number, attempt.phase = number, Phase.RUNNING
    if not stored:
        results.store_started(task)


def _begin(attempt: Attempt) -> tuple[int | None, bool]:
    """Begin the row; return the attempt's number, and whether STARTED is stored by now."""
    task, ticket = attempt.task, attempt.ticket
    assert ticket is not None  # noqa: S101 - this is of durable tasks
    who = (ticket.row_id, ticket.attempt, ticket.worker)
    meta = results.started(task)
    part = results.part_of(task, meta, states.STARTED) if meta else None
    if part or not meta or not results.is_transactional(task.backend):
        return store.begin(*who, part, task.request.id), bool(part or not meta)
    with transaction.atomic(using=conf.alias()):  # upstream's backend: statements of its own
        number = store.begin(*who, task_id=task.request.id)
        if number is not None:
            results.store_started(task)
    return number, True


def execute(attempt: Attempt, body: Callable[[], Any]) -> Any:
    """Run *body* of a task under its row and return its result.

    :raises Exception: what the task raised; ``Superseded`` if this copy must not run or has lost
        its row.
    """
    task = attempt.task
    if attempt.phase is Phase.NEW:  # not if before_start() has called retry(), and has gone on
        begin(attempt)
    try:
        if task.atomic:
            with attempt.finishing() as outcome:
                outcome.result = body()
        else:
            _run_long(attempt, body)
        return attempt.result
    except Ignore:
        raise
    except Exception as error:
        if attempt.phase is Phase.FINISHED:
            # Its effects, its result and the next tasks are committed: it has succeeded.
            logger.exception("%s raised after it had finished; ignored", task.name)
            return attempt.result
        if lost_database(error, conf.alias()) and not task.request.is_eager:
            postpone(attempt, error)  # not the task's failure
            raise Superseded(f"the database went away: {error}") from error
        try:
            attempt.end_by(error)
        except DatabaseError as second:
            if not is_away(second):
                raise
            postpone(attempt, second)
            raise Superseded(f"the database went away: {second}") from error
        raise


def _run_long(attempt: Attempt, body: Callable[[], Any]) -> None:
    result, ignored = None, None
    try:
        result = body()
    except Ignore as error:
        ignored = error
    if attempt.phase is Phase.RUNNING:
        with attempt.finishing() as outcome:
            if ignored:
                raise ignored
            outcome.result = result
    elif ignored:
        raise ignored


def postpone(attempt: Attempt, error: BaseException) -> None:
    """Let the row be ready again later; wait for the database that is away.

    It doesn't count towards the quarantine of what kills its process. If the database doesn't come
    back in time, the worker finds a row that none of its processes runs (rows.py).
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        connections[conf.alias()].close()
        try:
            quarantine.postpone_or_quarantine(
                attempt.row_id, attempt.number, quarantine.OUTAGE, str(error)
            )
            return
        except DatabaseError as still:
            if not is_away(still):
                raise
        except SoftTimeLimitExceeded:
            return
        try:
            time.sleep(0.5)
        except SoftTimeLimitExceeded:
            return


#: The states in which a task has ended without an attempt, by what before_start() has raised.
_ENDED_BEFORE = {states.FAILURE, states.IGNORED, states.REJECTED}


def forget_failed(task: Any, state: str, how: Any = None) -> None:
    """Delete the row of a task that failed, after its failure was stored.

    :param how: the exception by which it ended, for ``Ignore`` and ``Reject``.
    """
    attempt = current(task.request)
    if attempt is None:
        # before_start() has raised, which Celery calls before the task.
        ticket = Ticket.of(task.request.headers)
        goes_on = isinstance(how, Superseded) or (isinstance(how, Reject) and how.requeue)
        if ticket and state in _ENDED_BEFORE and not goes_on:
            store.finish([(ticket.row_id, ticket.attempt)], task.request.id)
    elif attempt.runs_a_row and state in (states.FAILURE, states.REJECTED):
        attempt.drop()
