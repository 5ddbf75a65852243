"""The worker's side: a task runs only while its row exists, and ends in the row's transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from celery import maybe_signature, states
from celery.app.task import get_actual_ignore_result
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError, connections, transaction
from django.utils import timezone

from . import calls, conf, identity, outage, results, store
from .faults import lost_database
from .ticket import Ticket, ticket_of

logger = logging.getLogger(__name__)

#: Seconds that a task waits for a database that is away before its message goes back.
PATIENCE = 60.0


class NotMine(Ignore):  # type: ignore[misc]
    """This copy must not run, or no longer counts: nothing is stored, the message is dropped."""


class Outcome:
    """What a task hands over while it finishes: ``result`` is stored, and passed on to a chain."""

    def __init__(self) -> None:
        self.result: Any = None
        self.ignored: Ignore | None = None


class Claim:
    """One start of a row."""

    def __init__(self, task: Any, row_id: int, token: int) -> None:
        self.task = task
        # Kept: a task that calls itself as a function pushes a copy of it.
        self.request = task.request
        self.row_id = row_id
        self.token = token
        self.finished = False  # with success, and committed
        self.rescheduled = False
        self.result: Any = None
        self.retrying = False  # while Task.retry() calls the task once more
        self.retry: dict[str, Any] | None = None

    @contextmanager
    def finishing(self) -> Iterator[Outcome]:
        """Everything inside, the row's end, the result and the next tasks: one transaction.

        :raises NotMine: a later start has taken over; all of it is rolled back.
        """
        outcome, request = Outcome(), self.request
        # durable: inside of another transaction, leaving this block would commit nothing.
        with transaction.atomic(using=conf.alias(), durable=True):
            yield outcome
            self._finish(outcome)
        self.finished, self.result = True, outcome.result
        # Done here already, so Celery must not do it again; it reads these after the task.
        request.callbacks = request.chain = None
        if results.is_transactional(self.task.backend):
            request.chord, request.ignore_result = None, True

    def _finish(self, outcome: Outcome) -> None:
        request, backend, part, wanted = self.request, self.task.backend, None, False
        if not outcome.ignored:
            with calls.durable():  # first, since its result names the tasks that it has called
                self._call_next(outcome.result)
            wanted = not get_actual_ignore_result(self.task, request)
            wanted = wanted and (not request.is_eager or bool(self.task.store_eager_result))
        if wanted and self.retry is None:
            part = results.part_of("mine", self.task, outcome.result, states.SUCCESS)
        if self.retry is not None:  # retry(throw=False), and the task went on
            ended = self._reschedule("retry")
        else:
            ended = store.finish_one(self.row_id, self.token, part)
        if not ended:
            raise NotMine(f"start {self.token} of {self.task.name}[{request.id}] was superseded")
        if results.is_transactional(backend) and not outcome.ignored:
            with calls.durable():  # a chord's body
                backend.mark_as_done(request.id, outcome.result, request, wanted and not part)

    def _call_next(self, result: Any) -> None:
        """Write the rows of ``link=`` and of the chain's next task, as Celery would send them."""
        app, request = self.task.app, self.request
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

        :raises NotMine: a later start has taken over, or the database went away meanwhile, in
            which case the task is started again.
        """
        if self.finished:
            return
        if isinstance(ending, Retry):
            ended = self._reschedule(f"retry: {ending.exc!r}" if ending.exc else "retry")
        elif isinstance(ending, Reject) and ending.requeue:
            ended = self._reschedule("rejected")
        else:
            ended = store.is_running(self.row_id, self.token)
        if not ended:
            raise NotMine(f"start {self.token} of {self.task.name} was superseded")

    def _reschedule(self, why: str) -> bool:
        due_at = timezone.now()
        if self.retry is not None:
            due_at = self.retry["due_at"] or due_at
        elif self.request.is_eager:  # started again by its caller
            due_at += timedelta(seconds=conf.LEASE)
        self.rescheduled = store.reschedule(self.row_id, self.token, due_at, why, self.retry)
        return self.rescheduled

    def drop(self) -> None:
        """Delete the row of a task that failed for good."""
        store.finish([(self.row_id, self.token)])


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
        except (OperationalError, InterfaceError) as error:
            if task.request.is_eager or not lost_database(error):
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
    who = (ticket.row_id, ticket.starts, identity.worker_id())
    meta = results.started(task)
    part = results.part_of("mine", task, meta, states.STARTED) if meta else None
    if part or not meta or not results.is_transactional(task.backend):
        return store.claim(*who, part), bool(part or not meta)
    with transaction.atomic(using=conf.alias()):  # upstream's backend: statements of its own
        token = store.claim(*who)
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
                _run(body, outcome)
        else:
            outcome = Outcome()
            _run(body, outcome)
            if not claim.finished:
                with claim.finishing() as final:
                    final.result, final.ignored = outcome.result, outcome.ignored
        if outcome.ignored:
            raise outcome.ignored
        return claim.result
    except Ignore:
        raise
    except Exception as error:
        if claim.finished:
            # Its effects, its result and the next tasks are committed: it has succeeded.
            logger.exception("%s raised after it had finished; ignored", task.name)
            return claim.result
        if lost_database(error) and not task.request.is_eager:
            # Not the task's failure.
            outage.report(claim.row_id, claim.token, error)
            raise NotMine(f"the database went away: {error}") from error
        try:
            claim.end_by(error)
        except (OperationalError, InterfaceError) as second:
            outage.report(claim.row_id, claim.token, second)
            raise NotMine(f"the database went away: {second}") from error
        raise


def _run(body: Callable[[], Any], outcome: Outcome) -> None:
    try:
        outcome.result = body()
    except Ignore as ignored:  # replace() among others: not an error, so nothing is rolled back
        outcome.ignored = ignored


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
            store.finish([ticket])
        return
    if not claim or claim.finished or claim.rescheduled:
        return
    if state in (states.FAILURE, states.REJECTED):
        claim.drop()


@contextmanager
def unclaimed(request: Any) -> Iterator[Outcome]:
    """What ``finishing()`` is for a task that was called without the outbox: a transaction.

    :param request: the call's, which remembers that it has finished.
    """
    with transaction.atomic(using=conf.alias()):
        yield Outcome()
    if request is not None:
        request.has_finished = True
