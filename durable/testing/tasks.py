"""The tasks of one test: the calls in its transaction, and their run in this process."""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from celery import current_app, states
from celery.app.trace import build_tracer
from django.db.models import F
from django.test import TestCase
from django.utils import timezone
from kombu.utils.json import dumps, loads

from durable.queue import conf, store
from durable.queue.caller import calls
from durable.queue.endings import janitor
from durable.queue.models import Pause, Task

from .clock import Clock, moment

#: What stands in a row as its worker while a test runs it.
WORKER = "test"
#: Attempts that one ``run()`` makes: a task that calls itself would have no end.
MOST = 1000


class Called(NamedTuple):
    """A call of a task."""

    task: str
    task_id: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    priority: int
    #: Its time, of one that was called with ``countdown`` or ``eta``.
    due_at: datetime | None

    def __str__(self) -> str:
        named = (f"{name}={value!r}" for name, value in self.kwargs.items())
        return f"{self.task}({', '.join([*map(repr, self.args), *named])})"


class Ran(NamedTuple):
    """An attempt, and how it has ended."""

    task: str
    task_id: str
    #: Celery's: SUCCESS, FAILURE, RETRY, IGNORED, REJECTED.
    state: str
    #: What the task has returned, or its exception.
    result: Any


class Tasks:
    """The tasks of one test.

    Each call is a row, a plain ``delay()`` too: no broker is asked. A call that a rollback has
    undone is none, and a row that nothing runs goes with the test's transaction.
    """

    def __init__(self) -> None:
        self._clock = Clock()
        self._stack = ExitStack()
        self._calls: dict[int, Called] = {}

    def __enter__(self) -> Self:
        self._stack.callback(self._clock.stop)
        self._stack.enter_context(calls.as_rows())
        app = current_app._get_current_object()
        eager, app.conf.task_always_eager = app.conf.task_always_eager, False
        self._stack.callback(setattr, app.conf, "task_always_eager", eager)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # --- What was called -------------------------------------------------------------------------

    @property
    def calls(self) -> list[Called]:
        """All calls of the test, in their order: what has run, and what waits."""
        rows = Task.objects.using(conf.alias()).all()
        found = {**self._calls, **{row.pk: _called(row) for row in rows}}
        return [found[row_id] for row_id in sorted(found)]

    def called(self, task: Any, /, *args: Any, **kwargs: Any) -> list[Called]:
        """Return the calls of *task* with these arguments, however they were passed; or all calls.

        :raises TypeError: the task doesn't take the arguments.
        """
        task = _celerys(task)
        found = [call for call in self.calls if call.task == task.name]
        if not args and not kwargs:
            return found
        signature = inspect.signature(task.run)
        try:
            wanted = _bound(signature, *loads(dumps([args, kwargs])))
        except TypeError as error:
            raise TypeError(f"{task.name}: {error}") from None
        return [call for call in found if _bound(signature, call.args, call.kwargs) == wanted]

    def assert_called(self, task: Any, /, *args: Any, **kwargs: Any) -> Called:
        """Check that *task* was called with these arguments, or at all; return the last call."""
        found = self.called(task, *args, **kwargs)
        if not found:
            name, others = _celerys(task).name, self.called(task) or self.calls
            wanted = Called(name, "", list(args), kwargs, "", 0, None) if args or kwargs else name
            listed = "".join(f"\n  {call}" for call in others)
            raise AssertionError(
                f"{wanted} was not called; {'these were:' if others else 'nothing was'}{listed}"
            )
        return found[-1]

    def assert_not_called(self, task: Any, /, *args: Any, **kwargs: Any) -> None:
        """Check that *task* was not called with these arguments, or not at all."""
        if found := self.called(task, *args, **kwargs):
            raise AssertionError("called:" + "".join(f"\n  {call}" for call in found))

    # --- Its run ---------------------------------------------------------------------------------

    def run(self, until: datetime | timedelta | None = None, *, raising: bool = True) -> list[Ran]:
        """Run what waits and is due, and what that calls: chains, callbacks, chords, retries.

        As a worker does it: by priority and age, each attempt a transaction of its own (here, a
        savepoint), then what it leaves to ``on_commit()``. Rows of a paused queue wait.

        :param until: let time pass so long (or until then), and run each task at its time.
        :param raising: raise what a task has failed with.
        :raises RuntimeError: there is no end of it.
        """
        end = timezone.now() if until is None else moment(until)
        ran: list[Ran] = []
        while row := self._next(end):
            if len(ran) == MOST:
                raise RuntimeError(
                    f"{MOST} attempts were made, and {row.task} still waits: does it call itself?"
                )
            ran.append(self._attempt(row))
            if raising and ran[-1].state == states.FAILURE:
                raise ran[-1].result
        if until is not None:
            self._clock.reach(end)
        return ran

    def freeze(self, at: datetime | None = None) -> None:
        """Stop the clock, now or at another time; tasks see it, and are due by it."""
        self._clock.move(at or timezone.now(), tick=False)

    def travel(self, to: datetime | timedelta) -> None:
        """Move the clock to a time, or by one; it goes on from there, unless it is frozen."""
        self._clock.move(moment(to), tick=not self._clock.is_frozen)

    def _next(self, end: datetime) -> Task | None:
        """Return the next row until *end*, at its time."""
        rows = Task.objects.using(conf.alias())
        over = rows.filter(expires__lte=timezone.now(), started_at=None, quarantined_at=None)
        if over.exists():
            self._calls |= {row.pk: _called(row) for row in over}
            over.update(expires=F("created_at"))  # by PostgreSQL's clock, the janitor's
            janitor.revoke_expired()
        paused = Pause.objects.using(conf.alias())
        free = (
            rows.filter(worker=None, quarantined_at=None)
            .exclude(queue__in=paused.filter(kind="queue").values("name"))
            .exclude(task__in=paused.filter(kind="task").values("name"))
        )
        now = timezone.now()
        waiting = [(max(_due_at(row) or now, now), row) for row in free]
        if not waiting:
            return None
        at, row = min(
            waiting, key=lambda one: (one[0], one[1].priority, one[1].wanted_at, one[1].pk)
        )
        if at > max(end, now):
            return None
        if at > now:
            self._clock.reach(at)
            return self._next(end)  # by then, another one may have expired
        return row

    def _attempt(self, row: Task) -> Ran:
        self._calls[row.pk] = _called(row)
        app = current_app._get_current_object()
        if row.task not in app.tasks:
            raise LookupError(
                f"{row.task} is called, and Celery knows no such task: import its module in the "
                "test, or put it into an app's tasks.py"
            )
        task = app.tasks[row.task]
        store.hold_one(row.pk, WORKER)
        args, kwargs, embed = loads(row.body)
        request = {
            **loads(row.headers), **embed, "is_eager": False, "args": args, "kwargs": kwargs,
            "hostname": WORKER, "correlation_id": row.task_id,
            "delivery_info": {
                "exchange": "", "routing_key": row.queue, "priority": row.priority,
                "redelivered": False,
            },
            conf.HEADER: [row.pk, row.attempt, WORKER],
        }  # fmt: skip
        # on_commit() runs nothing in a TestCase.
        with TestCase.captureOnCommitCallbacks(using=conf.alias(), execute=True):
            done = build_tracer(task.name, task, app=app)(row.task_id, args, kwargs, request)
        state, result = (done.info.state, done.info.retval) if done.info else (
            states.SUCCESS, done.retval
        )  # fmt: skip
        if state != states.RETRY and (ahead := self._clock.ahead()):
            # A pause that PostgreSQL has counted from its own time.
            left = Task.objects.using(conf.alias()).filter(pk=row.pk, worker=None)
            left.update(due_at=F("due_at") + ahead)
        return Ran(row.task, row.task_id, state, result)


class TasksMixin:
    """Gives Django's ``TestCase`` the attribute ``tasks``; it stands before it in the bases."""

    tasks: Tasks

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.tasks = self.enterContext(Tasks())  # type: ignore[attr-defined]


def _celerys(task: Any) -> Any:
    """Return Celery's task; of one that was made by Django's ``task()``, what runs it."""
    return current_app.tasks[path] if (path := getattr(task, "module_path", "")) else task


def _due_at(row: Task) -> datetime | None:
    """Return the time of a row; of one without, it is that of the call, by PostgreSQL's clock."""
    return row.wanted_at if row.wanted_at != row.created_at else None


def _called(row: Task) -> Called:
    args, kwargs, _ = loads(row.body)
    return Called(
        row.task, row.task_id, args, kwargs, row.queue, row.priority, _due_at(row)
    )  # fmt: skip


def _bound(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)
