"""One start of a row, and the transaction in which it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from celery import maybe_signature, states
from celery.app.task import get_actual_ignore_result
from celery.exceptions import Ignore, Reject, Retry
from django.db import transaction
from django.utils import timezone

from . import calls, conf, results, store


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
        self.replacement: Any = None  # what replace() was called with

    @contextmanager
    def finishing(self) -> Iterator[Outcome]:
        """Everything inside, the row's end, the result and the next tasks: one transaction.

        :raises Ignore: what was raised inside, ``replace()`` among others: that is not an error, so
            nothing is rolled back.
        :raises NotMine: a later start has taken over; all of it is rolled back.
        """
        outcome, request = Outcome(), self.request
        # durable: inside of another transaction, leaving this block would commit nothing.
        with transaction.atomic(using=conf.alias(), durable=True):
            try:
                yield outcome
            except Ignore as ignored:
                outcome.ignored = ignored
            self._finish(outcome)
        self.finished, self.result = True, outcome.result
        # Done here already, so Celery must not do it again; it reads these after the task.
        request.callbacks = request.chain = None
        if results.is_transactional(self.task.backend):
            request.chord, request.ignore_result = None, True
        if outcome.ignored:
            raise outcome.ignored

    def _finish(self, outcome: Outcome) -> None:
        request, backend, part, wanted = self.request, self.task.backend, None, False
        if self.replacement is not None and self.retry is None:
            with calls.durable():
                self.replacement.delay()
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


@contextmanager
def unclaimed(request: Any) -> Iterator[Outcome]:
    """What ``finishing()`` is for a task that was called without the outbox: a transaction.

    :param request: the call's, which remembers that it has finished.
    """
    outcome = Outcome()
    with transaction.atomic(using=conf.alias()):
        try:
            yield outcome
        except Ignore as ignored:
            outcome.ignored = ignored
    if request is not None:
        request.has_finished = True
    if outcome.ignored:
        raise outcome.ignored
