"""Where the outbox is told what Celery does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from django.db import transaction

from durable.database import background
from durable.database.retry import persist
from durable.results import conf as results_conf

from . import conf, failures, identity, ledger, store, unwritten
from .heartbeat import heartbeat
from .ticket import ticket_of

T = TypeVar("T")


@signals.worker_init.connect
def name_the_worker(**kwargs: Any) -> None:
    """Give the worker its name before the pool forks."""
    identity.worker_id()


@signals.worker_ready.connect
def start_heartbeat(**kwargs: Any) -> None:
    """Start the signs of life after the first children were forked."""
    heartbeat.start()


@signals.task_received.connect
def note_arrival(request: Any, **kwargs: Any) -> None:
    """Remember how far the worker has come in each queue."""
    heartbeat.received(request)


@signals.worker_shutdown.connect
def stop_heartbeat(**kwargs: Any) -> None:
    """Hand back what the worker didn't finish, and sign off."""
    heartbeat.stop()


@signals.task_postrun.connect
def after_failure(sender: Any, state: str | None = None, retval: Any = None, **kwargs: Any) -> None:
    """Delete the row of a task that has failed; its failure is stored by now.

    Without a state, something has kept Celery from storing how it ended.
    """
    if not hasattr(sender, "ledger_tracks"):
        return
    if state is not None:
        ledger.forget_failed(sender, state, retval)
    else:
        unwritten.count(sender, sys.exc_info()[1])


@signals.task_failure.connect
def after_time_limit(sender: Any, task_id: str, exception: Any, **kwargs: Any) -> None:
    """Delete the row of a task that the main process ended, and whose failure it has stored."""
    ended_here = isinstance(exception, (TimeLimitExceeded, WorkerLostError))
    if ended_here and (header := heartbeat.header(task_id)):
        beside_the_loop(partial(_end_failed, int(header[0]), int(header[1]) + 1, exception))


def _end_failed(row_id: int, start: int, exception: Exception) -> None:
    with transaction.atomic(using=conf.alias()):
        if isinstance(exception, WorkerLostError):  # Celery itself does it for a time limit
            failures.tell(row_id, exception)
        if not store.finish([(row_id, start)]):  # another start has taken over
            transaction.set_rollback(True, using=conf.alias())


@signals.task_revoked.connect
def after_revoke(request: Any, terminated: bool = False, **kwargs: Any) -> None:
    """Delete the row of a task that was terminated by a person.

    Not of one that was only revoked, or has expired: its message may be a late copy, and the start
    be running (see request.py).
    """
    if terminated and (ticket := ticket_of(request)):
        # Not started yet, or started from this very message.
        starts = [(ticket.row_id, ticket.starts), (ticket.row_id, ticket.starts + 1)]
        beside_the_loop(partial(store.finish, starts, request.id))


def beside_the_loop(call: Callable[[], T]) -> T | None:
    """Do *call*, on a worker's event loop beside it, after the failure was stored there.

    A database that is away or frozen must not keep the loop from its messages and signals; *call*
    then waits for it, as the result does (see durable/database/background.py). If both wait in vain, the
    heartbeat finds a row that nobody runs, and the task is started again.

    :return: what *call* returns; ``None`` if it still waits.
    """
    if not background.is_event_loop():
        return call()
    patiently = partial(persist, call, results_conf.get("PATIENCE"), [conf.alias()])
    done: T | None = background.run(patiently, results_conf.SHORT, goes_on=True)
    return done


@signals.beat_init.connect
def start_relay(**kwargs: Any) -> None:
    """Run a relay in every beat, whatever its scheduler."""
    from .relay import Relay

    Relay().start()
