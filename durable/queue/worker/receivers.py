"""Where the queue is told what Celery does."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals, states
from celery.exceptions import Reject
from django.db import transaction

from durable.database import background
from durable.database.retry import persist
from durable.journal import entry, lines
from durable.results import conf as results_conf

from .. import conf, results, store
from ..endings import quarantine
from .attempt import current
from .ticket import Ticket, call_of

T = TypeVar("T")

#: The attribute of Celery's request that holds the log lines of its attempt, for the journal.
LINES = "durable_lines"


@signals.worker_init.connect
def leave_out_of_collections(**kwargs: Any) -> None:
    """Leave what a worker has imported out of Python's garbage collection; before it forks.

    Else each full collection goes over all of it. That took a quarter of a second, in which the
    main process reads and gives no row, and it unshares memory of its processes.
    """
    gc.collect()
    gc.freeze()


@signals.task_prerun.connect
def collect_lines(task: Any, **kwargs: Any) -> None:
    """Collect the lines of a row's attempt from here on."""
    request = task.request
    if not request.is_eager and Ticket.of(request.headers):
        setattr(request, LINES, lines.collect())


@signals.task_postrun.connect
def keep_lines(task: Any, **kwargs: Any) -> None:
    """Keep the lines of the attempt that has ended."""
    request = task.request
    found = request.__dict__.pop(LINES, None)
    if found is None or not lines.end(found):
        return
    ticket = Ticket.of(request.headers)
    if ticket is not None and (attempt := current(request)) is not None and attempt.number:
        lines.keep(found, ticket.row_id, attempt.number, task.name, *call_of(request))


@signals.task_postrun.connect
def after_failure(sender: Any, state: str | None = None, retval: Any = None, **kwargs: Any) -> None:
    """Delete the row of a task that has failed; its failure is stored by now.

    Without a state, something has kept Celery from storing how it ended.
    """
    if state == states.SUCCESS or not hasattr(sender, "tracks_start"):
        return
    from . import execute

    if state is not None:
        execute.forget_failed(sender, state, retval)
    else:
        _count_unrecorded(sender, sys.exc_info()[1])


def _count_unrecorded(task: Any, error: BaseException | None) -> None:
    """Count an attempt whose end could not be recorded; not one whose process ends with it."""
    attempt = current(task.request)
    if attempt is None or not attempt.runs_a_row or attempt.request.is_eager:
        return
    if not isinstance(error, Exception) or isinstance(error, (Reject, MemoryError)):
        return
    # Celery now takes *error* for the task's own and records that. It is none; and where that fails
    # too, a pool of threads, or the one thread, would never hear of an end: a slot would be lost.
    attempt.unrecorded = True
    request = attempt.request
    request.ignore_result, request.errbacks, request.chord, request.chain = True, None, None, None
    quarantine.count_unrecorded(attempt.row_id, attempt.number, error)


@signals.task_failure.connect
def after_time_limit(sender: Any, task_id: str, exception: Any, **kwargs: Any) -> None:
    """Delete the row of a task that the main process ended, and whose failure it has stored."""
    from .rows import ticket_of_running

    ended_here = isinstance(exception, (TimeLimitExceeded, WorkerLostError))
    if ended_here and (ticket := ticket_of_running(task_id)):
        how = _entry(task_id, states.FAILURE, exception)
        beside_the_loop(partial(_end_failed, ticket.row_id, ticket.attempt + 1, exception, how))


def _end_failed(row_id: int, attempt: int, exception: Exception, how: entry.End | None) -> None:
    with transaction.atomic(using=conf.alias()):
        if isinstance(exception, WorkerLostError):  # Celery itself does it for a time limit
            quarantine.schedule_on_failure(row_id, exception)
        if not store.finish([(row_id, attempt)], end=how):  # another attempt has taken over
            transaction.set_rollback(True, using=conf.alias())


def _entry(task_id: str, state: str, why: Any) -> entry.End | None:
    """Return the end of a task that the main process has in hand, for the journal."""
    from .rows import in_hand

    message = in_hand(task_id)
    return results.end_of(message.row, state, why) if message else None


@signals.task_revoked.connect
def after_revoke(request: Any, terminated: bool = False, **kwargs: Any) -> None:
    """Delete the row of a task that was terminated by a person."""
    from .rows import ticket_of_running

    if terminated and (ticket := ticket_of_running(request.id)):
        # Not begun yet, or begun from this very message.
        attempts = [(ticket.row_id, ticket.attempt), (ticket.row_id, ticket.attempt + 1)]
        how = _entry(request.id, states.REVOKED, "terminated")
        beside_the_loop(partial(store.finish, attempts, request.id, how))


def beside_the_loop(call: Callable[[], T]) -> T | None:
    """Do *call*, on a worker's event loop beside it, after the failure was stored there.

    A database that is away or frozen must not keep the loop from its messages and signals; *call*
    then waits for it, as the result does (see durable/database/background.py). If both wait in
    vain, the worker finds a row that none of its processes runs, and the task is tried again.

    :return: what *call* returns; ``None`` if it still waits.
    """
    if not background.is_event_loop():
        return call()
    patiently = partial(persist, call, results_conf.get("PATIENCE"), [conf.alias()])
    done: T | None = background.run(patiently, results_conf.SHORT, goes_on=True)
    return done
