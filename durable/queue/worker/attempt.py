"""One attempt of a task, from its begin to its end, and the transaction in which it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from enum import Enum
from typing import Any

from celery import maybe_signature, states
from celery.app.task import get_actual_ignore_result
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.utils import timezone
from psycopg.pq import TransactionStatus

from durable.database.outage import lost_database
from durable.database.text import repr_of, text_of
from durable.journal import entry, redaction

from .. import conf, results, store
from ..caller import calls
from ..caller.template import Call
from ..endings import quarantine
from .ticket import Ticket, call_of

#: Seconds in which only its caller starts an eager task again.
EAGER_PAUSE = 15


class Superseded(Ignore):  # type: ignore[misc]
    """A duplicate or overtaken attempt: its message is dropped, and nothing is stored."""


class Cancelled(Superseded):
    """A query of an attempt that was cancelled or overtaken: it could not commit any more."""


#: Seconds after which a query of a task asks first whether it still may commit.
ASK = 1.0
#: With them a transaction comes to its end, whatever has become of the row.
_ENDINGS = ("ROLLBACK", "RELEASE", "SAVEPOINT")

#: The attribute of Celery's request that holds the attempt.
NAME = "durable_attempt"


class Phase(Enum):
    """How far an attempt has come."""

    NEW = "its row isn't begun"
    RUNNING = "the task's body, or what comes before it"
    FINISHED = "committed, with its effects and its result"
    RESCHEDULED = "ended in order; another one comes"


class Outcome:
    """The hand-over of a task that finishes: ``result`` is stored, and passed on to a chain."""

    def __init__(self) -> None:
        self.result: Any = None
        self.ignored: Ignore | None = None


class Attempt:
    """The attempt that a worker was told to make; it stands on Celery's request.

    A plain task has one too, without a row.
    """

    def __init__(self, task: Any, ticket: Ticket | None, request: Any = None) -> None:
        self.task = task
        # Kept: a task that calls itself as a function pushes a copy of it.
        self.request = task.request if request is None else request
        self.ticket = ticket
        self.number = 0  # the fencing token, once it has begun
        self.phase = Phase.NEW
        self.entered = False  # the worker has called the task
        self.own_call = False  # a __call__() of a project's own is to call super()
        self.unrecorded = False  # something has kept its end from being recorded
        self.result: Any = None
        self.retrying = False  # Task.retry() calls the task once more
        self.retry: Call | None = None
        self.keeps: frozenset[str] = frozenset()  # columns that a retry leaves as they are
        self.replacement: Any = None  # what replace() was called with
        self._asked_at = time.monotonic()
        self.told_at = float("-inf")  # how far it is
        self._is_asking = self._is_gone = False  # its row is gone, or is another attempt's

    @property
    def row_id(self) -> int:
        """The row's id; of a plain task there is none."""
        assert self.ticket is not None  # noqa: S101 - the callers know that it is durable
        return self.ticket.row_id

    @property
    def runs_a_row(self) -> bool:
        """``True`` if it has begun a row, and that has not ended in order."""
        return self.ticket is not None and self.phase is Phase.RUNNING

    def begin(self) -> None:
        """Begin the row, and record that; wait for a database that is away.

        :raises Superseded: it is finished or runs elsewhere.
        :raises Reject: the database didn't come back; the worker lets go of the row.
        """
        task, ticket = self.task, self.ticket
        assert ticket is not None  # noqa: S101 - it is durable
        if self.request.is_eager:  # its retry comes with the headers of the first attempt
            held = store.hold_one(ticket.row_id, ticket.worker)
            ticket = self.ticket = ticket._replace(attempt=held)
        end, pause = time.monotonic() + quarantine.PATIENCE, 0.0
        while True:
            try:
                number, stored = begun(task, ticket, self.request)
                break
            except DatabaseError as error:
                if self.request.is_eager or not lost_database(error, conf.alias()):
                    raise
                connections[conf.alias()].close()
                if time.monotonic() > end:
                    raise Reject(error, requeue=True) from error
                time.sleep(pause)
                pause = 0.5  # not the first time: an idle connection that was closed is no outage
            except SoftTimeLimitExceeded as error:  # it has waited, and not begun
                raise Reject(error, requeue=True) from error
        self.has_begun(number, stored)

    def has_begun(self, number: int | None, stored: bool) -> None:
        """Take note of what ``begun()`` has returned.

        :raises Superseded: it is finished or runs elsewhere.
        """
        if number is None:
            raise Superseded(f"{self.task.name}[{self.request.id}] is done, or runs elsewhere")
        self.number, self.phase = number, Phase.RUNNING
        if not stored:
            results.store_started(self.task)

    def lost_database(self, error: BaseException) -> Superseded:
        """Let the row be ready again later; wait for the database that is away.

        :return: what ends this attempt: an outage is not its task's failure.
        """
        assert self.ticket is not None  # noqa: S101 - it is durable
        quarantine.postpone_after_outage(self.row_id, self.number, self.ticket.worker, error)
        name = f"{self.task.name}[{self.request.id}]"
        return Superseded(f"{name}: the database went away: {text_of(error)}")

    @contextmanager
    def finishing(self) -> Iterator[Outcome]:
        """Everything inside, the row's end, the result and the next tasks: one transaction.

        :raises Ignore: what was raised inside, ``replace()`` among others: that is not an error, so
            nothing is rolled back.
        :raises Superseded: a later attempt has taken over; all of it is rolled back.
        """
        outcome = Outcome()
        with self.transaction():
            try:
                yield outcome
            except Superseded:
                raise
            except Ignore as ignored:
                outcome.ignored = ignored
            self.end(outcome)
        self.committed(outcome)
        self.leave_nothing_to_celery()
        if outcome.ignored:
            raise outcome.ignored

    def transaction(self) -> AbstractContextManager[None]:
        """Return what holds the effects and the end together; a batch shares one."""
        # durable: inside of another transaction, leaving this block would commit nothing.
        return transaction.atomic(using=conf.alias(), durable=True)

    def leave_nothing_to_celery(self) -> None:
        """Keep Celery from doing again what is done here; it reads these after the task."""
        request = self.request
        request.callbacks = request.chain = None
        if results.is_transactional(self.task.backend):
            request.chord, request.ignore_result = None, True

    def run(self, body: Callable[[], Any]) -> Any:
        """Run the task's own code; a batch minds its soft time limit."""
        return body()

    def watched(self, body: Callable[[], Any]) -> Any:
        """Run the task's own code; a query of it ends what was cancelled meanwhile."""
        with connections[conf.alias()].execute_wrapper(self._before_query):
            return body()

    def is_cancelled(self) -> bool:
        """Ask the database whether this attempt can't commit any more."""
        if self.runs_a_row and not (self._is_gone or self._is_asking):
            self._is_asking = True
            try:
                self._is_gone = not store.is_newest(self.row_id, self.number)
            finally:
                self._is_asking, self._asked_at = False, time.monotonic()
        return self._is_gone

    def _before_query(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        late = self._is_gone or time.monotonic() - self._asked_at >= ASK
        if late and not self._is_asking and not str(sql).startswith(_ENDINGS):
            connection = context["connection"]
            broken = connection.needs_rollback or (
                connection.connection.info.transaction_status == TransactionStatus.INERROR
            )
            if not broken and self.is_cancelled():
                raise Cancelled(f"{self.task.name}[{self.request.id}] was cancelled")
        return execute(sql, params, many, context)

    def committed(self, outcome: Outcome) -> None:
        """Take note that the transaction with its end was committed."""
        self.result = outcome.result
        self.phase = Phase.RESCHEDULED if self.retry is not None else Phase.FINISHED

    def end(self, outcome: Outcome) -> None:
        """End the row with success, inside of the transaction of the effects.

        In this order: a result names the tasks that were called, and a chord counts what has ended.
        """
        request, backend, part = self.request, self.task.backend, None
        wanted = self.call_next(outcome)
        if wanted and self.retry is None:
            part = results.part_of(self.task, request, outcome.result, states.SUCCESS)
        if self.retry is not None:  # retry(throw=False), and the task went on
            ended = self._reschedule("retry")
        else:
            how = ended_by(self.task, request, outcome, part.values if part else None)
            ended = store.finish_one(self.row_id, self.number, part, how)
        if not ended:
            raise Superseded(
                f"attempt {self.number} of {self.task.name}[{request.id}] is overtaken"
            )
        if results.is_transactional(backend) and not outcome.ignored:
            with calls.durable():  # a chord's body
                backend.mark_as_done(request.id, outcome.result, request, wanted and not part)

    def call_next(self, outcome: Outcome) -> bool:
        """Write the rows of what comes after; return whether the result is to be stored.

        That is what replaces it, its ``link=`` and its chain's next task, as Celery sends them.
        """
        app, request, result = self.task.app, self.request, outcome.result
        if self.replacement is not None and self.retry is None:
            with calls.durable():
                self.replacement.delay()
        if outcome.ignored:
            return False
        if request.callbacks or request.chain:
            with calls.durable():
                self._apply(app, request, result)
        wanted = not get_actual_ignore_result(self.task, request)
        return wanted and (not request.is_eager or bool(self.task.store_eager_result))

    @staticmethod
    def _apply(app: Any, request: Any, result: Any) -> None:
        options = {"parent_id": request.id, "root_id": request.root_id or request.id}
        if app.conf.task_inherit_parent_priority:
            options["priority"] = request.delivery_info.get("priority")
        for callback in request.callbacks or ():
            maybe_signature(callback, app=app).apply_async((result,), **options)
        if request.chain:
            following = maybe_signature(request.chain[-1], app=app)
            following.apply_async((result,), chain=request.chain[:-1], **options)

    def end_by(self, ending: Retry | Reject | Exception) -> None:
        """Record how a task ended that did not succeed; its effects are rolled back by now.

        A failure leaves the row: it is deleted once Celery has stored it (see receivers.py).

        :raises Superseded: a later attempt has taken over.
        """
        if self.phase is Phase.FINISHED:
            return
        if isinstance(ending, Retry):
            ended = self._reschedule(f"retry: {repr_of(ending.exc)}" if ending.exc else "retry")
        elif isinstance(ending, Reject) and ending.requeue:
            ended = self._rejected(ending)
        else:
            ended = store.is_newest(self.row_id, self.number)
        if not ended:
            raise Superseded(f"attempt {self.number} of {self.task.name} is overtaken")
        if isinstance(ending, Reject) and not ending.requeue and not self.request.is_eager:
            results.store_rejected(self.task, ending)

    def _reschedule(self, why: str) -> bool:
        due_at, call = timezone.now(), None
        if self.retry is not None:
            due_at = self.retry.due_at or due_at
            call = {**self.retry._asdict(), **dict.fromkeys(self.keeps)}
        elif self.request.is_eager:  # started again by its caller
            due_at += timedelta(seconds=EAGER_PAUSE)
        ended = store.reschedule(self.row_id, self.number, due_at, redaction.clean(why), call)
        if ended:
            self.phase = Phase.RESCHEDULED
        return ended

    def _rejected(self, ending: Reject) -> bool:
        why = repr_of(ending.reason) if ending.reason else "no reason given"
        ended = quarantine.postpone_or_quarantine(
            self.row_id, self.number, quarantine.REJECTED, why
        )
        if ended:
            self.phase = Phase.RESCHEDULED
        return ended

    def drop(self, state: str, error: Any) -> None:
        """Delete the row of a task that failed for good."""
        how = entry.failure(self.task.name, state, error, *call_of(self.request))
        store.finish([(self.row_id, self.number)], end=how)


def ended_by(
    task: Any, request: Any, outcome: Outcome, stored: dict[str, Any] | None
) -> entry.End | None:
    """Return the end of a task that has not failed, for the journal.

    :param stored: the columns of its result.
    """
    call = call_of(request)
    if outcome.ignored:
        return entry.failure(task.name, states.IGNORED, str(outcome.ignored), *call)
    encoded = stored["result"] if stored else None
    return entry.success(task.name, outcome.result, encoded, *call)


def begun(
    task: Any, ticket: Ticket, request: Any, begin: Callable[..., int | None] = store.begin
) -> tuple[int | None, bool]:
    """Begin the row; return the attempt's number, and whether STARTED is stored by now.

    :param begin: ``store.confirm``, of a row that has begun with others.
    """
    who = (ticket.row_id, ticket.attempt, ticket.worker)
    meta = results.started(task)
    part = results.part_of(task, request, meta, states.STARTED) if meta else None
    if part or not meta or not results.is_transactional(task.backend):
        number = begin(*who, part, request.id, atomic=task.atomic)
        return number, bool(part or not meta)
    with transaction.atomic(using=conf.alias()):  # upstream's backend: statements of its own
        number = begin(*who, task_id=request.id)
        if number is not None:
            results.store_started(task)
    return number, True


def current(request: Any) -> Attempt | None:
    """Return the attempt on Celery's *request*, if a worker was told to make one."""
    found: Attempt | None = getattr(request, NAME, None)
    return found


#: Makes the attempt of a task that a worker was told to run; a batch has a kind of its own.
make: Callable[[Any, Ticket | None, Any], Attempt] = Attempt
