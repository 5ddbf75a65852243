"""The base class of durable tasks; plain ``delay()`` of the same task stays what Celery's is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from celery import Task as CelerysTask
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Ignore, Retry
from celery.result import AsyncResult
from celery.utils import uuid

from . import calls, hooks, ledger, results
from .claim import Claim, Outcome, unclaimed
from .ticket import ticket_of


class OutboxTask(DjangoTask):  # type: ignore[misc]
    """A task that can be called through the outbox, and then runs under its ledger.

    ``__call__`` is where every pool and eager mode go through: Celery's tracer calls it instead of
    ``run()`` as soon as a class defines it, inside of its handling of results, retries and
    signals, and outside of ``autoretry_for``, which wraps ``run()``.
    """

    abstract = True
    Request: Any = "durable.queue.request:Request"

    #: The whole body is one transaction, with the row's end in it. ``False`` for a long task:
    #: ``with self.finishing():`` then holds its last effects, and nothing else is held.
    atomic = True

    #: ``track_started``, which this class does itself (see ``on_bound``).
    ledger_tracks: bool | None = None

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Take over ``track_started``: Celery stores STARTED before it asks the ledger.

        The redelivery of a finished task would overwrite its result.
        """
        super().on_bound(app)
        if cls.Request != OutboxTask.Request:
            hooks.check_request(cls)
        if cls.__dict__.get("ledger_tracks") is None:
            cls.ledger_tracks = bool(cls.track_started)
        cls.track_started = False
        if cls.on_failure is not CelerysTask.on_failure:
            cls.on_failure = hooks.guarded(cls.on_failure)
        if cls.__call__ is not OutboxTask.__call__:
            cls.__call__ = hooks.outermost(cls.__call__)  # type: ignore[method-assign]

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call the task with the transaction: a row now, the message once it commits.

        Unlike upstream's, it returns the ``AsyncResult``: the id is known from the start. Outside
        of a transaction the row is committed at once.
        """
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult:
        """Like ``delay_on_commit()``, with the options of ``apply_async()``.

        :raises TypeError: an option that a row can't keep (see docs/delivery.md).
        """
        with calls.as_rows():  # by apply_async(), which a base class may have changed
            return self.apply_async(args, kwargs, **options)

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Celery's own, but for the tasks of a durable canvas and the retry of a durable task."""
        claim = getattr(self.request, "claim", None)
        if claim and not claim.finished and claim.retrying:
            # Celery's retry hands on what the broker has said of a message from an exchange.
            options.pop("redelivered", None)
            claim.retry = calls.prepare(self, args, kwargs, options)
            for name in {"queue", "priority"} - options.keys():
                claim.retry[name] = None  # not asked for: they stay, whatever the routes say
            return self.AsyncResult(self.request.id)
        if calls.is_durable():
            options |= zip(
                ("task_id", "producer", "link", "link_error", "shadow"), rest, strict=False
            )
            return calls.enqueue(self, args, kwargs, options)
        return super().apply_async(args, kwargs, *rest, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if hooks.is_start(request):
            return self.enter_ledger(self.run, args, kwargs)
        if hooks.comes_from_outermost(request):
            return self.run(*args, **kwargs)
        return super().__call__(*args, **kwargs)  # a plain function call

    def enter_ledger(self, body: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run *body* as what the worker was told to run: under the ledger, if it has a row.

        :param body: ``run()``, or the ``__call__()`` of a class that derives from this one.
        """
        request = self.request
        request.entered = True
        if ticket := ticket_of(request):
            return ledger.execute(self, ticket, partial(body, *args, **kwargs))
        results.store_started(self)
        return body(*args, **kwargs)

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Like Celery's; of a durable task it keeps the row, with the new time in it."""
        claim = getattr(self.request, "claim", None)
        before = claim is None and hooks.is_start(self.request) and ticket_of(self.request)
        if before:  # in before_start()
            claim = self.request.claim = ledger.take(self, before)
        if claim is None:
            return super().retry(*args, **kwargs)
        claim.retrying = True
        try:
            return super().retry(*args, **kwargs)
        except Retry as retry:
            if before:
                claim.end_by(retry)
            raise
        finally:
            claim.retrying = False

    def on_replace(self, sig: Any) -> Any:
        """Replace a durable task by a durable one, in the transaction that ends it.

        Not here: the exception may go through a block that is rolled back by it.
        """
        claim = getattr(self.request, "claim", None)
        if claim is None:
            return super().on_replace(sig)
        if self.request.is_eager or claim.finished:  # there is no end of it to come
            with calls.durable():
                return super().on_replace(sig)
        claim.replacement = sig
        raise Ignore("Replaced by new task")

    def finishing(self) -> AbstractContextManager[Outcome]:
        """Hold the last effects of a task with ``atomic=False``, in one transaction with its row::

            with self.finishing() as outcome:
                report.save()
                outcome.result = report.pk

        Called without the outbox, it is just a transaction.

        :raises RuntimeError: the task is atomic already, or has finished: that is possible once.
        """
        claim: Claim | None = getattr(self.request, "claim", None)
        if self.atomic:
            raise RuntimeError(
                f"{self.name}: finishing() is for tasks with atomic=False; this one's whole body "
                "is its transaction"
            )
        request = self.request_stack.top  # none if run() itself was called
        if claim.finished if claim else getattr(request, "has_finished", False):
            raise RuntimeError(
                f"{self.name}: finishing() can be entered once, since it ends the task with its "
                "result; put all last effects into one block (in a loop: around the loop)"
            )
        return claim.finishing() if claim else unclaimed(request)

    @property
    def idempotency_key(self) -> str:
        """The same text at every start of this call: a Message-ID, an Idempotency-Key.

        Called as a function, a task has no other start, and a new key each time.
        """
        return str(self.request.id or uuid())
