"""Celery's worker meets a row: the message that stands for it, and the request made of that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Protocol

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals, states
from celery.exceptions import InvalidTaskError, Reject
from celery.worker import strategy as celerys
from celery.worker.request import Request as CelerysRequest
from celery.worker.request import revoked_tasks, send_revoked, task_ready
from django.db import transaction
from kombu.message import Message

from durable.database.text import repr_of
from durable.journal import redaction

from .. import conf, results, store
from .receivers import beside_the_loop
from .ticket import Ticket, delivery_info, ticketed

logger = logging.getLogger(__name__)


#: What is ended at the moment: Celery's signals name a task's id alone.
ending: ContextVar[RowMessage | None] = ContextVar("ending", default=None)


def _as_the_end(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Request, *args: Any, **kwargs: Any) -> Any:
        token = ending.set(self.message if self.is_row else None)
        try:
            return method(self, *args, **kwargs)
        finally:
            ending.reset(token)

    return call


class Hand(Protocol):
    """The holder of a worker's rows: rows.py."""

    worker_id: str
    stopping: bool

    def left(self, message: RowMessage) -> None:
        """Take note that a row is out of Celery's hands."""

    def let_go(self, message: RowMessage, why: str) -> None:
        """Give a row back that this worker can't end."""


class RowMessage(Message):
    """A row that this worker holds, as a message: to reject it acts on the row.

    There is nothing to acknowledge: the row ends in the transaction of its task.

    :raises Exception: its headers can't be read.
    """

    def __init__(self, row: store.Held, hand: Hand) -> None:
        headers = results.decode(row.headers)
        if "replayed_by" in headers and not row.attempt:
            revoked_tasks.discard(row.task_id)  # its former life was
        self.row, self._hand = row, hand
        self.request: Any = None  # Celery's, made of it
        self.died = False  # the process that ran it
        self.cancelled = False  # by a person, who has ended the row
        super().__init__(  # type: ignore[no-untyped-call]
            body=row.body,
            content_type="application/json",
            content_encoding="utf-8",
            accept={"application/json"},
            headers=ticketed(headers, [row.id, row.attempt, hand.worker_id]),
            properties={
                "correlation_id": row.task_id, "reply_to": headers.pop("reply_to", ""),
                "priority": row.priority,
            },
            delivery_info=delivery_info(row),
        )  # fmt: skip

    def ack(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""
        self._state = "ACK"

    def reject(self, requeue: bool = False) -> None:
        """Let go of the row, if its task has not ended it."""
        self._state = "REJECTED"
        if requeue:
            self._hand.let_go(
                self,
                "the process that ran it died" if self.died else "its end could not be recorded",
            )

    def requeue(self) -> None:
        """Let go of the row."""
        self.reject(requeue=True)

    def ack_log_error(self, *args: Any, **kwargs: Any) -> None:
        """Like ``ack()``: no broker is asked."""
        self.ack()

    def reject_log_error(self, logger: Any = None, errors: Any = (), requeue: bool = False) -> None:
        """Like ``reject()``: no broker is asked."""
        self.reject(requeue)


class Request(CelerysRequest):  # type: ignore[misc]
    """Celery's request; of a row, it says when that is out of Celery's hands."""

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(message, *args, **kwargs)
        if isinstance(message, RowMessage):
            message.request = self
            # On the object: Celery derives a class for each task, with an on_success() of its own.
            own: Callable[..., Any] = self.on_success  # type: ignore[has-type]
            self.on_success = partial(self._succeeded, own)

    @property
    def is_row(self) -> bool:
        """``True`` if it was made of a row, and not of a broker's message."""
        return isinstance(self.message, RowMessage)

    def _left(self) -> None:
        if self.is_row:
            self.message._hand.left(self.message)

    def cancel(self, *args: Any, **kwargs: Any) -> None:
        """End the task because the worker stops; a row needs no broker, and goes on without."""
        if not self.is_row or self.message._hand.stopping:
            super().cancel(*args, **kwargs)

    def _succeeded(self, celerys: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return celerys(*args, **kwargs)
        finally:
            self._left()

    def _secrets(self) -> redaction.Redacted | None:
        return redaction.redact(self.name, self.args, self.kwargs)

    @_as_the_end
    def on_failure(self, *args: Any, **kwargs: Any) -> Any:
        """Handle a failure; the death of a row's process is none, and the row is let go."""
        with redaction.about(self._secrets):
            return self._failed(*args, **kwargs)

    def _failed(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if self.is_row and isinstance(error, TimeLimitExceeded) and not kwargs.get("return_ok"):
            return None  # the pool calls on_timeout() next, which ends it whole: once
        try:
            died = self._has_died(error)
            if self.is_row and died:
                task_ready(self)
                self.message.died = True
                self.message.requeue()
                return None
            if self.is_row and isinstance(error, Reject) and not error.requeue:
                task_ready(self)
                self.send_event("task-failed", exception=repr_of(error))
                self.reject()  # its process has stored that, before it has ended the row
                return None
            if isinstance(error, MemoryError):
                # Celery raises it again here, and the worker ends with it. Its process lives, and
                # has stored the failure.
                task_ready(self)
                self.acknowledge()
                return None
            if died and self.delivery_info["redelivered"]:
                return self._fail_for_good(exc_info)
            try:
                return super().on_failure(exc_info, *args, **kwargs)
            except (TypeError, ValueError, LookupError, AttributeError) as unreadable:
                if self.is_row:
                    raise
                # Its arguments are none. Unacknowledged, it would hold one of the worker's slots.
                logger.error(
                    "Task %s[%s] can't be read, and is dropped: %r", self.name, self.id, unreadable
                )
                task_ready(self)
                self.acknowledge()
                return None
        finally:
            self._left()

    def _fail_for_good(self, exc_info: Any) -> None:
        """Let a plain task fail whose process has died twice: a broker counts no deliveries.

        Celery would put its message back each time, and it would end one process after another.
        """
        task_ready(self)
        error = WorkerLostError(f"the process that ran it died again: {exc_info.exception}")
        self.task.backend.mark_as_failure(
            self.id, error, request=self._context, store_result=self.store_errors
        )
        signals.task_failure.send(
            sender=self.task, task_id=self.id, exception=error, args=self.args,
            kwargs=self.kwargs, traceback=exc_info.traceback, einfo=exc_info,
        )  # fmt: skip
        self.acknowledge()

    def _has_died(self, error: Any) -> bool:
        """Return whether the task's process is gone, and not because the worker ended it.

        A task with ``acks_late=False`` of its own asks for this to be its failure; the setting for
        all tasks is about the broker's messages.
        """
        # Billiard tells of a process that exits by itself before it is gone.
        died = isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)
        if not died or self._already_cancelled or self._already_revoked:
            return False
        return bool(self.task.acks_late or not self.app.conf.task_acks_late)

    def _begun(self) -> int | None:
        """Return 1 if the row runs here, 0 if its process waits to begin it, and -1 of no such row.

        Celery stores the end of a process that it kills whatever became of the task. But it may
        have committed just before; or this worker stood still, and another one runs it. ``None`` of
        a plain task, and while the database is away.
        """
        if (ticket := Ticket.of(self.request_dict)) is None:
            return None
        found = beside_the_loop(lambda: store.attempts_of(ticket.row_id, ticket.worker))
        if found is None:
            return None
        return found - ticket.attempt if found - ticket.attempt in (0, 1) else -1

    @_as_the_end
    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Handle a time limit."""
        try:
            begun = None if soft else self._begun()
            if begun == 0:  # it waits for the database, or a lock: its time has not begun either
                task_ready(self)
                self.message.requeue()
                return
            if begun == -1:
                task_ready(self)
                logger.warning("Hard time limit (%ss) for %s, which had ended", timeout, self)
                return
            with redaction.about(self._secrets):  # what on_failure() says
                super().on_timeout(soft, timeout)
        except Exception:  # or the pool would leave the process alone
            logger.exception("%s: its time limit could not be recorded", self)
        finally:
            if not soft:
                self._left()

    @_as_the_end
    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        """Discard a row whose task was revoked or has expired; or end one that is terminated.

        Celery's own stores REVOKED whatever became of the task: but another worker may have begun
        the row meanwhile, or have ended it.
        """
        if self.is_row and self.message.cancelled:  # REVOKED is stored, and the project was told
            task_ready(self)
            self.send_event("task-revoked", terminated=True, signum=signum, expired=False)
            self.acknowledge()
            self._already_revoked = True
            return
        if terminated or not self.is_row:
            if self._begun() == -1:
                task_ready(self)
                self.acknowledge()
                self._already_revoked = True
            else:
                super()._announce_revoked(reason, terminated, signum, expired)
            return
        task_ready(self)
        ticket = Ticket.of(self.request_dict)
        assert ticket is not None  # noqa: S101 - it is a row
        if beside_the_loop(partial(self._revoke_waiting, ticket, reason, expired)):
            self.send_event("task-revoked", terminated=False, signum=signum, expired=expired)
        if expired:  # Celery has noted it as revoked; but its end may have been put off
            revoked_tasks.discard(self.id)
        self.acknowledge()
        self._already_revoked = True
        self._left()

    def _revoke_waiting(self, ticket: Ticket, reason: str, expired: bool) -> bool:
        with transaction.atomic(using=conf.alias()):
            if expired and not store.lock_expired(1, ticket.row_id):
                return False  # a unique call of the same key has put it off (store.insert_once())
            how = results.end_of(self.message.row, states.REVOKED, reason)
            revoked = bool(store.finish([(ticket.row_id, ticket.attempt)], self.id, how))
            if revoked:
                self.task.backend.mark_as_revoked(
                    self.id, reason, request=self._context, store_result=self.store_errors
                )
        if revoked:
            send_revoked(
                self.task, request=self._context, terminated=False, signum=None, expired=expired
            )
        return revoked


_NONE = type(None)
_NUMBER = (int, float, _NONE)
#: The types of Celery's headers, where it asks for no check itself.
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,), "timelimit": (list, tuple, _NONE), "retries": (int, _NONE),
    "eta": (str, _NONE), "expires": (str, int, float, _NONE), "group": (str, _NONE),
    "stamps": (dict, _NONE), "stamped_headers": (list, _NONE), "shadow": (str, _NONE),
    "root_id": (str, _NONE), "parent_id": (str, _NONE), "reply_to": (str, _NONE),
    "replaced_task_nesting": (int, _NONE),
}  # fmt: skip


def check_headers(headers: dict[str, Any]) -> None:
    """Refuse a message of the broker's whose headers have other types than Celery's.

    They would raise where the task has a slot of the pool, which would never be free again.

    :raises InvalidTaskError: Celery then writes the message to the log, and drops it.
    """
    for name, types in _TYPES.items():
        if name in headers and not isinstance(headers[name], types):
            raise InvalidTaskError(f"its header {name} is a {type(headers[name]).__name__}")
    limits = headers.get("timelimit") or (None, None)
    if len(limits) != 2 or not all(isinstance(limit, _NUMBER) for limit in limits):
        raise InvalidTaskError("its header timelimit is no pair of numbers")


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's strategy; a message of the broker's can't pass for a row."""
    handle: Callable[..., Any] = celerys.default(task, app, consumer, **options)

    def without_ticket(message: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(message, RowMessage):
            check_headers(message.headers)
            for headers in (message.headers, message.headers.get("headers")):
                if isinstance(headers, dict):
                    headers.pop(conf.HEADER, None)
        return handle(message, *args, **kwargs)

    return without_ticket
