"""Where the outbox is told what Celery does."""

from __future__ import annotations

from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from django.db import transaction

from . import conf, failures, identity, ledger, store
from .heartbeat import heartbeat


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
def after_failure(sender: Any, state: str | None = None, **kwargs: Any) -> None:
    """Delete the row of a task that has failed; its failure is stored by now."""
    if hasattr(sender, "ledger_tracks") and state is not None:
        ledger.forget_failed(sender, state)


@signals.task_failure.connect
def after_time_limit(sender: Any, task_id: str, exception: Any, **kwargs: Any) -> None:
    """Delete the row of a task that the main process ended, and whose failure it has stored."""
    ended_here = isinstance(exception, (TimeLimitExceeded, WorkerLostError))
    if ended_here and (header := heartbeat.header(task_id)):
        row_id, start = int(header[0]), int(header[1]) + 1
        with transaction.atomic(using=conf.alias()):
            if isinstance(exception, WorkerLostError):  # Celery itself does it for a time limit
                failures.tell(row_id, exception)
            if not store.finish([(row_id, start)]):  # another start has taken over
                transaction.set_rollback(True, using=conf.alias())


@signals.task_revoked.connect
def after_revoke(request: Any, **kwargs: Any) -> None:
    """Delete the row of a task that was revoked, has expired, or was terminated by a person."""
    if ticket := ledger.ticket_of(request):
        # Not started yet, or started from this very message.
        starts = ticket.starts
        store.finish([(ticket.row_id, starts), (ticket.row_id, starts + 1)])


@signals.beat_init.connect
def start_relay(**kwargs: Any) -> None:
    """Run a relay in every beat, whatever its scheduler."""
    from .relay import Relay

    Relay().start()
