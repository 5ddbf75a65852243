"""The worker's side: a task runs only while its row exists, and ends in the row's transaction."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import states
from celery.exceptions import Ignore, Reject
from django.db import Error as DatabaseError

from durable.database.outage import lost_database
from durable.database.retry import is_away
from durable.journal import entry

from .. import conf, store
from .attempt import Attempt, Phase, Superseded, current
from .ticket import Ticket, call_of

logger = logging.getLogger(__name__)


def execute(attempt: Attempt, body: Callable[[], Any]) -> Any:
    """Run *body* of a task under its row and return its result.

    :raises Exception: what the task raised; ``Superseded`` if this copy must not run or has lost
        its row.
    """
    task = attempt.task
    if attempt.phase is Phase.NEW:  # not if before_start() has called retry(), and has gone on
        attempt.begin()
    try:
        if task.atomic:
            with attempt.finishing() as outcome:
                outcome.result = attempt.run(partial(attempt.watched, body))
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
            raise attempt.lost_database(error) from error
        ending = _of_another_version(task, error) or error
        try:
            attempt.end_by(ending)
        except DatabaseError as second:
            if not is_away(second):
                raise
            raise attempt.lost_database(second) from error
        if ending is error:
            raise
        raise ending from error


def _of_another_version(task: Any, error: Exception) -> Reject | None:
    """Return that the row is for another worker, if its arguments are not those of this task.

    The call was checked where it was made, so a version that takes them runs beside this one.
    """
    request = task.request
    if not (isinstance(error, TypeError) and task.typing) or request.is_eager:
        return None
    try:
        inspect.signature(task.run).bind(*(request.args or ()), **(request.kwargs or {}))
    except TypeError as unfit:
        return Reject(f"this version of {task.name} can't be called so: {unfit}", requeue=True)
    return None


def _run_long(attempt: Attempt, body: Callable[[], Any]) -> None:
    result, ignored = None, None
    try:
        result = attempt.run(partial(attempt.watched, body))
    except Superseded:
        raise
    except Ignore as error:
        ignored = error
    if attempt.phase is Phase.RUNNING:
        with attempt.finishing() as outcome:
            if ignored:
                raise ignored
            outcome.result = result
    elif ignored:
        raise ignored


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
            how_ended = entry.failure(task.name, state, how, *call_of(task.request))
            store.finish([(ticket.row_id, ticket.attempt)], task.request.id, how_ended)
    elif attempt.runs_a_row and state in (states.FAILURE, states.REJECTED):
        attempt.drop(state, how)
