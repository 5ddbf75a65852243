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

from . import conf, identity, outage, results, store
from .claim import Claim, NotMine
from .ticket import Ticket, ticket_of

logger = logging.getLogger(__name__)

#: Seconds that a task waits for a database that is away before its message goes back.
PATIENCE = 60.0


def take(task: Any, ticket: Ticket) -> Claim:
    """Start the row of *ticket*, and record that; wait for a database that is away.

    :raises NotMine: it is finished or runs elsewhere.
    :raises Reject: the database didn't come back; the message goes back to the broker.
    """
    end, pause = time.monotonic() + PATIENCE, 0.0
    while True:
        try:
            token, stored = _claim(task, ticket)
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
    if token is None:
        raise NotMine(f"{task.name}[{task.request.id}] is done, or runs elsewhere")
    if not stored:
        results.store_started(task)
    return Claim(task, ticket.row_id, token)


def _claim(task: Any, ticket: Ticket) -> tuple[int | None, bool]:
    """Start the row; return its token, and whether it is stored by now that the task runs."""
    who, task_id = (ticket.row_id, ticket.starts, identity.worker_id()), task.request.id
    meta = results.started(task)
    part = results.part_of("mine", task, meta, states.STARTED) if meta else None
    if part or not meta or not results.is_transactional(task.backend):
        return store.claim(*who, part, task_id=task_id), bool(part or not meta)
    with transaction.atomic(using=conf.alias()):  # upstream's backend: statements of its own
        token = store.claim(*who, task_id=task_id)
        if token is not None:
            results.store_started(task)
    return token, True


def execute(task: Any, ticket: Ticket, body: Callable[[], Any]) -> Any:
    """Run *body* of *task* under its row and return its result.

    :raises Exception: what the task raised; ``NotMine`` if this copy must not run or lost its row.
    """
    if task.request.is_eager:  # its retry comes with the headers of the first start
        ticket = ticket._replace(starts=store.starts_of(ticket.row_id))
    # before_start() has claimed the row if it has called retry(), and has gone on.
    claim: Claim = getattr(task.request, "claim", None) or take(task, ticket)
    task.request.claim = claim
    try:
        if task.atomic:
            with claim.finishing() as outcome:
                outcome.result = body()
        else:
            _run_long(claim, body)
        return claim.result
    except Ignore:
        raise
    except Exception as error:
        if claim.finished:
            # Its effects, its result and the next tasks are committed: it has succeeded.
            logger.exception("%s raised after it had finished; ignored", task.name)
            return claim.result
        if lost_database(error, conf.alias()) and not task.request.is_eager:
            # Not the task's failure.
            outage.report(claim.row_id, claim.token, error)
            raise NotMine(f"the database went away: {error}") from error
        try:
            claim.end_by(error)
        except DatabaseError as second:
            if not is_away(second):
                raise
            outage.report(claim.row_id, claim.token, second)
            raise NotMine(f"the database went away: {second}") from error
        raise


def _run_long(claim: Claim, body: Callable[[], Any]) -> None:
    result, ignored = None, None
    try:
        result = body()
    except Ignore as error:
        ignored = error
    if not claim.finished:
        with claim.finishing() as outcome:
            if ignored:
                raise ignored
            outcome.result = result
    elif ignored:
        raise ignored


#: The states in which a task has ended without a start, by what before_start() has raised.
ENDED_BEFORE = {states.FAILURE, states.IGNORED, states.REJECTED}


def forget_failed(task: Any, state: str, how: Any = None) -> None:
    """Delete the row of a task that failed, after its failure was stored.

    :param how: the exception by which it ended, for ``Ignore`` and ``Reject``.
    """
    claim: Claim | None = getattr(task.request, "claim", None)
    if claim is None and state in ENDED_BEFORE and not getattr(task.request, "entered", False):
        # before_start() has raised, which Celery calls before the ledger is asked.
        goes_on = isinstance(how, NotMine) or (isinstance(how, Reject) and how.requeue)
        if not goes_on and (ticket := ticket_of(task.request)):
            store.finish([ticket], task.request.id)
        return
    if not claim or claim.finished or claim.rescheduled:
        return
    if state in (states.FAILURE, states.REJECTED):
        claim.drop()
