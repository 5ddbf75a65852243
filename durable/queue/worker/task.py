"""The base class of durable tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from celery import Task as CelerysTask
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Ignore, Retry
from celery.result import AsyncResult
from celery.utils import uuid
from django.db import transaction

from .. import conf, progress, results
from ..caller import calls, template, unique
from ..caller.options import refuse_too_large
from ..limits import Limit, Place
from . import attempt as attempts
from . import execute, overrides
from .attempt import NAME, Attempt, Outcome, Phase, current
from .ticket import Ticket


class DurableTask(DjangoTask):  # type: ignore[misc]
    """A task whose call can be a row, and that then runs under it.

    ``__call__`` is where every pool and eager mode go through: Celery's tracer calls it instead of
    ``run()`` as soon as a class defines it, inside of its handling of results, retries and
    signals, and outside of ``autoretry_for``, which wraps ``run()``.
    """

    abstract = True
    Request: Any = "durable.queue.worker.request:Request"
    Strategy: Any = "durable.queue.worker.request:strategy"

    #: The whole body is one transaction, with the row's end in it. ``False`` for a long task:
    #: ``with self.finishing():`` then holds its last effects, and nothing else is held.
    atomic = True

    #: How many run at once, and how many begin in a time.
    limit: Limit | None = None

    #: ``track_started``, which this class does itself (see ``on_bound``).
    tracks_start: bool | None = None

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Take over ``track_started``: Celery stores STARTED before it asks the row.

        A late copy of a finished task would overwrite its result.
        """
        super().on_bound(app)
        if cls.Request != DurableTask.Request:
            overrides.check_request(cls)
        if cls.__dict__.get("tracks_start") is None:
            cls.tracks_start = bool(cls.track_started)
        cls.track_started = False
        if cls.on_failure is not CelerysTask.on_failure:
            cls.on_failure = overrides.guarded(cls.on_failure)
        if cls.after_return is not CelerysTask.after_return:
            cls.after_return = overrides.harmless(cls.after_return)
        if cls.before_start is not CelerysTask.before_start:
            cls.before_start = overrides.recorded(cls.before_start)
        if cls.__call__ is not DurableTask.__call__:
            cls.__call__ = overrides.outermost(cls.__call__)  # type: ignore[method-assign]

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call the task with the transaction: a row in it, and no task without its commit.

        Unlike upstream's, it returns the ``AsyncResult``: the id is known from the start. Outside
        of a transaction the row is committed at once.
        """
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult:
        """Like ``delay_on_commit()``, with the options of ``apply_async()``.

        :raises TypeError: an option that a row can't keep (see docs/celery.md).
        """
        with calls.as_rows():  # by apply_async(), which a base class may have changed
            return self.apply_async(args, kwargs, **options)

    def map_on_commit(self, arguments: Iterable[Any], **options: Any) -> int:
        """Call the task once for each of *arguments*, all or none; return how many.

        Each is a tuple or list of arguments, a dict of named ones, or one argument alone. One
        statement writes a thousand rows, and no more than these are held in memory::

            remind.map_on_commit(Customer.objects.filter(is_late=True))  # by their primary keys

        :param options: of ``apply_async()``, for each call.
        """
        return calls.enqueue_many(self, arguments, options)

    def unique(
        self,
        key: Any = None,
        *,
        while_: Literal["waiting", "unfinished"] | None = None,
        within: timedelta | None = None,
    ) -> unique.Unique:
        """Return the task with calls that are written once for a *key*::

            refresh.unique(key=f"shop:{pk}").delay_on_commit(pk).is_new

        :param key: of this task's calls; without one, their arguments.
        :param while_: another one ``"waiting"`` for its first attempt (the default), which then
            begins after the commit of this caller; or ``"unfinished"``, which may have read what it
            works on before.
        :param within: instead: so long after the other call, whatever has become of it.
        """
        return unique.Unique(self, unique.once(self.name, key, while_, within))

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the task is; others see it at once, though its transaction is open.

        Written twice a second at most, and once it is all done; between two of these it costs
        nothing. Called as a function, the task writes nothing.
        """
        attempt = current(self.request)
        now = time.monotonic()
        if attempt is None or (now - attempt.told_at < progress.EVERY and done != total):
            return
        attempt.told_at = now
        row_id = attempt.row_id if attempt.ticket else None
        progress.tell(self.request.id, row_id, attempt.number, done, total, message)

    def cancelled(self) -> bool:
        """Return whether this attempt is to end: it was cancelled, or taken over by another.

        It can't commit any more, so a loop without queries may as well stop. Before a query, and a
        second after the last answer, this is asked by itself: ``Cancelled`` ends the task there.
        """
        attempt = current(self.request)
        return attempt is not None and attempt.ticket is not None and attempt.is_cancelled()

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Celery's own, but for what is durable, and for the retry of a durable task.

        :raises ValueError: a plain call whose message is too large.
        """
        attempt = current(self.request)
        if attempt and attempt.retrying and attempt.runs_a_row:
            # Celery's retry hands on what the broker has said of a message.
            options.pop("redelivered", None)
            if place := (self.request.headers or {}).get(conf.LIMIT):
                options.setdefault("concurrency_key", Place(*place))
            keeps = frozenset({"queue", "priority"} - options.keys())
            # Not asked for: they stay, whatever the routes say.
            attempt.retry = calls.publishing(template.prepare(self, args, kwargs, options))
            attempt.keeps = keeps
            calls.published(attempt.retry)
            return self.AsyncResult(self.request.id)
        if calls.is_durable():
            options |= zip(
                ("task_id", "producer", "link", "link_error", "shadow"), rest, strict=False
            )
            return calls.enqueue(self, args, kwargs, options)
        if not self.app.conf.task_always_eager:
            unique.refuse_plain(self.name, {"limit": self.limit, **options})
        embedded = (options.get(name) for name in ("chain", "chord", "link", "link_error"))
        refuse_too_large(self.name, args, kwargs, *embedded)
        return super().apply_async(args, kwargs, *rest, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if overrides.is_told(request):
            return self.attempt_it(self.run, args, kwargs, request=request)
        if overrides.comes_from_outermost(request):
            return self.run(*args, **kwargs)
        return super().__call__(*args, **kwargs)  # a plain function call

    def attempt_it(
        self,
        body: Callable[..., Any],
        args: Any,
        kwargs: Any,
        *,
        own_call: bool = False,
        request: Any = None,
    ) -> Any:
        """Run *body* as what the worker was told to run: under its row, if it has one.

        :param body: ``run()``, or the ``__call__()`` of a class that derives from this one.
        """
        attempt = self._attempt(request)
        attempt.entered, attempt.own_call = True, own_call
        whole = partial(_as_exception, body, *args, **kwargs)
        if attempt.ticket:
            return execute.execute(attempt, whole)
        results.store_started(self)
        return whole()

    def _attempt(self, request: Any = None) -> Attempt:
        request = request or self.request  # which looks up the thread's each time
        attempt = current(request)
        if attempt is None:
            attempt = attempts.make(self, Ticket.of(request.headers), request)
            if said := attempt.ticket and request.headers.get(conf.MESSAGE):
                request.eta = said.get("eta")
                request.properties = {**(request.properties or {}), **said.get("properties", {})}
            setattr(request, NAME, attempt)
        return attempt

    def begun(self) -> Attempt:
        """Return the attempt on a row, which has begun; in a batch it had before this process."""
        attempt = self._attempt()
        if attempt.phase is Phase.NEW:
            attempt.begin()
        return attempt

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Like Celery's; of a durable task it keeps the row, with the new time in it."""
        before = overrides.is_told(self.request)  # in before_start()
        if before and Ticket.of(self.request.headers):
            self.begun()
        attempt = current(self.request)
        if attempt is None or not attempt.runs_a_row:
            return super().retry(*args, **kwargs)
        attempt.retrying = True
        try:
            return super().retry(*args, **kwargs)
        except Retry as retry:
            if before:
                attempt.end_by(retry)
            raise
        finally:
            attempt.retrying = False

    def on_replace(self, sig: Any) -> Any:
        """Replace a durable task by a durable one, in the transaction that ends it.

        Not here: the exception may go through a block that is rolled back by it.
        """
        attempt = current(self.request)
        if attempt is None or attempt.ticket is None:
            return super().on_replace(sig)
        if self.request.is_eager or not attempt.runs_a_row:  # there is no end of it to come
            with calls.durable():
                return super().on_replace(sig)
        attempt.replacement = sig
        raise Ignore("Replaced by new task")

    def finishing(self) -> AbstractContextManager[Outcome]:
        """Hold the last effects of a task with ``atomic=False``, in one transaction with its row::

            with self.finishing() as outcome:
                report.save()
                outcome.result = report.pk

        Of a plain task, it is just a transaction.

        :raises RuntimeError: the task is atomic already, or has finished: that is possible once.
        """
        if self.atomic:
            raise RuntimeError(
                f"{self.name}: finishing() is for tasks with atomic=False; this one's whole body "
                "is its transaction"
            )
        request = self.request_stack.top  # none if run() itself was called
        called = request and request.called_directly  # as a function, which is to end once too
        attempt = self._attempt() if called else current(request)
        if attempt and attempt.phase in (Phase.FINISHED, Phase.RESCHEDULED):
            raise RuntimeError(
                f"{self.name}: finishing() can be entered once, since it ends the task with its "
                "result; put all last effects into one block (in a loop: around the loop)"
            )
        return attempt.finishing() if attempt and attempt.ticket else _without_a_row(attempt)

    @property
    def idempotency_key(self) -> str:
        """The same text at every attempt of this call: a Message-ID, an Idempotency-Key.

        Called as a function, a task has no other attempt, and a new key each time.
        """
        return str(self.request.id or uuid())


@contextmanager
def _without_a_row(attempt: Attempt | None) -> Iterator[Outcome]:
    """Hold the ``finishing()`` of a plain task: a transaction.

    :param attempt: the call's, which remembers that it has finished.
    """
    outcome = Outcome()
    with transaction.atomic(using=conf.alias()):
        try:
            yield outcome
        except Ignore as ignored:
            outcome.ignored = ignored
    if attempt is not None:
        attempt.phase = Phase.FINISHED
    if outcome.ignored:
        raise outcome.ignored


def _as_exception(body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call *body*; raise what is no ``Exception`` as one of the same name.

    Celery and billiard would let ``asyncio.CancelledError`` end the process without a word.
    ``SystemExit`` and ``KeyboardInterrupt`` are meant to.
    """
    try:
        return body(*args, **kwargs)
    except (Exception, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise as_exception(error) from error


def as_exception(error: BaseException) -> Exception:
    """Return an ``Exception`` of the same name, by which a task may fail."""
    kind = type(error)
    return _failure(kind.__name__, kind.__module__, error.args)


def _failure(name: str, module: str, args: tuple[Any, ...]) -> Exception:
    """Return an ``Exception`` of that name, which Celery can pickle."""
    body = {"__module__": module, "__reduce__": lambda self: (_failure, (name, module, args))}
    made: Exception = type(name, (Exception,), body)(*args)
    return made
