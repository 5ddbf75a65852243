"""Keeps what a project's base class overrides from coming between a task and its row."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from celery.exceptions import Reject
from django.db import transaction
from kombu.utils.imports import symbol_by_name

from durable.database.outage import lost_database

from .. import conf
from ..endings import quarantine
from .attempt import current
from .receivers import beside_the_loop
from .rows import ticket_of_running
from .ticket import Ticket

logger = logging.getLogger(__name__)


def once(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return *change*, which makes one method of another, so that it changes none a second time.

    What ``guarded()`` has changed says so by ``is_guarded``, and stays as it is.
    """
    mark = f"is_{change.__name__}"

    @wraps(change)
    def changed(own: Any) -> Any:
        if hasattr(own, mark):
            return own
        call = wraps(own)(change(own))
        setattr(call, mark, True)
        return call

    return changed


@once
def guarded(own: Callable[..., None]) -> Callable[..., None]:
    """Return an ``on_failure()`` that calls *own*, and lets a durable task repeat one that raised.

    The failure is final and stored by then. Celery guards ``on_success()`` and ``after_return()``
    so, but takes an error in this hook for the task's own: the failure would never be complete, and
    the task be started again with all that it does outside of the database.
    """

    def call(self: Any, exc: Exception, task_id: str, *args: Any, **kwargs: Any) -> None:
        attempt = current(self.request)
        if attempt and attempt.unrecorded:  # it is to be tried again
            return
        try:
            own(self, exc, task_id, *args, **kwargs)
        except Exception:
            if (row_id := _row_that_ends(self, task_id)) is None:
                raise
            logger.exception("%s[%s]: on_failure() raised; it is called again", self.name, task_id)
            beside_the_loop(partial(_schedule, row_id, exc))

    return call


@once
def harmless(own: Callable[..., None]) -> Callable[..., None]:
    """Return an ``after_return()`` whose errors are written to the log.

    Celery guards it so in the task's process, and not where it ends that by the time limit.
    """

    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            own(self, *args, **kwargs)
        except Exception as error:
            if self.request.is_eager or isinstance(error, Reject | MemoryError):
                raise
            logger.exception("%s: after_return() raised", self.name)

    return call


@once
def recorded(own: Callable[..., None]) -> Callable[..., None]:
    """Return a ``before_start()`` after which a row goes on as after the task's own code.

    Celery calls it before the task: it knows of no outage, and in a batch the row has begun by now.
    """

    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            own(self, *args, **kwargs)
        except Exception as error:
            request = self.request
            lost = lost_database(error, conf.alias())
            if not (lost or isinstance(error, Reject)) or request.is_eager:
                raise
            if Ticket.of(request.headers) is None:
                raise
            attempt = self.begun()
            if attempt.runs_a_row and lost:
                raise attempt.lost_database(error) from error
            if attempt.runs_a_row:
                attempt.end_by(error)
            raise

    return call


@once
def outermost(own: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``__call__`` that goes around *own*, a project's: the row is outside of it.

    One of its own that calls ``run()`` and not ``super()`` would run without an attempt, and its
    row be held again for ever. So *own* is a part of the task's body, and of its transaction.
    """

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_told(self.request):
            if attempt := current(self.request):
                attempt.own_call = False  # a call from inside: it is no longer the outermost's
            return own(self, *args, **kwargs)
        return self.attempt_it(partial(own, self), args, kwargs, own_call=True)

    return call


def is_told(request: Any) -> bool:
    """Return whether a call of the task is the one that a worker or eager mode was told to make."""
    attempt = current(request)
    return not (request.called_directly or (attempt and attempt.entered))


def comes_from_outermost(request: Any) -> bool:
    """Return whether a project's ``__call__`` calls ``super()`` now; true once an attempt."""
    attempt = current(request)
    if attempt is None or not attempt.own_call:
        return False
    attempt.own_call = False
    return True


def check_request(cls: Any) -> None:
    """Check the class that *cls* sets as ``Request``, which the worker makes of a message.

    :raises TypeError: it isn't the queue's: rows of revoked tasks, and of those whose process dies
        or whose worker stops, would be tried again or be counted as crashes.
    """
    from .request import Request  # seldom needed, and it brings in Celery's worker

    if not issubclass(symbol_by_name(cls.Request), Request):
        raise TypeError(
            f"{cls.name}: {cls.Request!r} must derive from durable.queue.worker.request.Request, "
            "and not from celery.worker.request.Request alone: it tells the queue how a task ended"
        )


def _row_that_ends(task: Any, task_id: str) -> int | None:
    """Return the row of a durable task that ends here, or whose process has been ended."""
    attempt = current(task.request)
    if attempt and attempt.ticket and attempt.request.id == task_id:
        return None if attempt.request.is_eager else attempt.row_id
    ticket = ticket_of_running(task_id)
    return ticket.row_id if ticket else None


def _schedule(row_id: int, error: Exception) -> None:
    with transaction.atomic(using=conf.alias()):
        quarantine.schedule_on_failure(row_id, error)
