"""Keeps what a project's base class overrides from coming between a task and its ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.db import transaction
from kombu.utils.imports import symbol_by_name

from . import conf, failures
from .heartbeat import heartbeat
from .receivers import beside_the_loop

logger = logging.getLogger(__name__)


def guarded(on_failure: Callable[..., None]) -> Callable[..., None]:
    """Return a method that calls *on_failure*, and lets a durable task repeat a call that raised.

    The failure is final and stored by then. Celery guards ``on_success()`` and ``after_return()``
    so, but takes an error in this hook for the task's own: the failure would never be complete, and
    the task be started again with all that it does outside of the database.
    """
    if hasattr(on_failure, "is_guarded"):
        return on_failure

    @wraps(on_failure)
    def call(self: Any, exc: Exception, task_id: str, *args: Any, **kwargs: Any) -> None:
        try:
            on_failure(self, exc, task_id, *args, **kwargs)
        except Exception:
            if (row_id := _row_that_ends(self, task_id)) is None:
                raise
            logger.exception("%s[%s]: on_failure() raised; it is called again", self.name, task_id)
            beside_the_loop(partial(_tell, row_id, exc))

    call.is_guarded = True  # type: ignore[attr-defined]
    return call


def outermost(own: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``__call__`` that goes around *own*, a project's: the ledger is outside of it.

    One of its own that calls ``run()`` and not ``super()`` would run without a claim, and its row
    be sent again for ever. So *own* is a part of the task's body, and of its transaction.
    """
    if hasattr(own, "is_outermost"):
        return own

    @wraps(own)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if not is_start(request):
            request.begun = True
            return own(self, *args, **kwargs)
        request.begun = False
        return self.enter_ledger(partial(own, self), args, kwargs)

    call.is_outermost = True  # type: ignore[attr-defined]
    return call


def is_start(request: Any) -> bool:
    """Tell whether a call of the task is the one that a worker or eager mode was told to make."""
    return not (request.called_directly or getattr(request, "entered", False))


def comes_from_outermost(request: Any) -> bool:
    """Tell whether a ``__call__`` of a project's own calls ``super()`` now; true once a start."""
    if getattr(request, "begun", True):
        return False
    request.begun = True
    return True


def check_request(cls: Any) -> None:
    """Check the class that *cls* sets as ``Request``, which the worker makes of a message.

    :raises TypeError: it isn't the ledger's: rows of revoked tasks, and of those whose process dies
        or whose worker stops, would be started again or be counted as crashes.
    """
    from .request import Request  # seldom needed, and it brings in Celery's worker

    if not issubclass(symbol_by_name(cls.Request), Request):
        raise TypeError(
            f"{cls.name}: {cls.Request!r} must derive from durable.queue.request.Request, and not "
            "from celery.worker.request.Request alone: it tells the ledger how a task has ended"
        )


def _row_that_ends(task: Any, task_id: str) -> int | None:
    """Return the row of a durable task that ends here, or whose process has been ended."""
    claim = getattr(task.request, "claim", None)
    if claim and claim.request.id == task_id:
        return None if claim.request.is_eager else int(claim.row_id)
    header = heartbeat.header(task_id)
    return int(header[0]) if header else None


def _tell(row_id: int, error: Exception) -> None:
    with transaction.atomic(using=conf.alias()):
        failures.tell(row_id, error)
