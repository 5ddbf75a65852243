"""One process of a batch worker: takes rows, and runs each with others or alone."""

from __future__ import annotations

import logging
import mmap
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import Structure, c_double, c_longlong, sizeof
from functools import partial
from typing import Any

from billiard.compat import mem_rss
from celery import signals
from celery.app.trace import build_tracer
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, OperationalError, connections

from durable.database.outage import Outage, lost_database
from durable.database.text import text_of
from durable.journal import redaction

from .. import conf, results, store
from ..endings import quarantine
from ..worker import attempt as attempts
from ..worker.attempt import Attempt, Phase
from ..worker.lanes import Lanes
from ..worker.ticket import Ticket, delivery_info, ticketed
from .shared import Batch, SharedAttempt, Together

logger = logging.getLogger(__name__)

#: Seconds after which a batch ends; what was not begun goes on in the next one.
BUDGET = 0.04
#: Seconds after which rows that were taken and not begun are given back.
STALE = 0.25
#: Seconds between two tries to reach the database.
PAUSE = 1.0
#: How much of a task's newest time goes into what is expected of the next one.
NEWEST = 0.3


class Slot(Structure):
    """One process, as it writes it and its supervisor reads it: in shared memory, without a lock.

    A reader may see half of a change, and decides nothing by one look: times are compared in steps
    of a second, and what has ended is decided by the row.
    """

    #: When it last looked for rows; when its task began, its hard limit, its row, its attempt.
    _fields_ = [
        ("seen_at", c_double), ("began", c_double), ("limit", c_double),
        ("row_id", c_longlong), ("attempt", c_longlong),
    ]  # fmt: skip

    @classmethod
    def several(cls, count: int) -> list[Slot]:
        """Return as many slots in memory that children of ``fork()`` share."""
        return list((cls * count).from_buffer(mmap.mmap(-1, count * sizeof(cls))))

    def idle(self) -> None:
        """Say that it looks for rows, and runs none."""
        self.seen_at, self.began = time.monotonic(), 0.0

    def runs(self, row_id: int, attempt: int, limit: float) -> None:
        """Say which task begins; *limit* is its hard time limit in seconds, 0 for none."""
        self.began = 0.0
        self.row_id, self.attempt, self.limit = row_id, attempt, limit
        self.began = time.monotonic()

    @property
    def running(self) -> tuple[int, int] | None:
        """The row and the attempt that run, if any."""
        return (self.row_id, self.attempt) if self.began else None

    @property
    def over(self) -> float:
        """The hard limit in seconds that its task has exceeded; 0 of one that has not."""
        began, limit = self.began, self.limit
        return float(limit) if began and limit and time.monotonic() - began > limit else 0.0


class Process:
    """The work of one process, from its fork to its end.

    :param worker: the id that stands in its rows.
    :param slot: what the supervisor sees of it.
    :param batch: rows to take at once, at most.
    """

    def __init__(
        self, app: Any, worker: str, hostname: str, slot: Slot, queues: list[str], batch: int
    ) -> None:
        self._app, self._worker, self._hostname, self._slot = app, worker, hostname, slot
        self._lanes = Lanes(lambda: queues, app.tasks)
        self._parent = os.getppid()
        self._outage = Outage(conf.alias(), logger)
        self._stopping = self._in_body = self._is_late = False
        self._limit, self._most = 1, batch  # the first is as many as a batch has time for
        self._each = BUDGET  # seconds that the code of a task takes, whichever it is
        self._left = app.conf.worker_max_tasks_per_child or float("inf")
        self._memory = app.conf.worker_max_memory_per_child or float("inf")  # KiB
        self._times: dict[str, float] = {}  # what each task is expected to take, in seconds
        self._batch: Batch | None = None
        self._reader, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def run(self) -> None:
        """Serve rows until told to stop, or for as many tasks as a process may run.

        :raises MemoryError: the process is better ended; that counts for the task.
        """
        signal.signal(signal.SIGTERM, self._told_to_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self._soft_limit)
        attempts.make = self.make_attempt
        signals.worker_process_init.send(sender=None)
        while self._goes_on():
            with self._outage.outlived("durable tasks wait for the database", but=(MemoryError,)):
                self._session()
            if self._outage.lasts:
                select.select([self._reader], [], [], PAUSE)
        signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)

    def _told_to_stop(self, *args: Any) -> None:
        self._stopping = True
        with suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def _goes_on(self) -> bool:
        return not self._stopping and self._left > 0 and os.getppid() == self._parent

    def _session(self) -> None:
        """Serve rows over one connection.

        :raises Exception: the database is away.
        """
        connection = connections[conf.alias()]
        connection.ensure_connection()
        raw: Any = connection.connection
        lanes = self._lanes
        lanes.begin(raw)
        # Another one once a task has closed it.
        while self._goes_on() and connection.connection is raw:
            now = time.monotonic()
            if now >= lanes.rescan_at:
                self._let_go()  # none is in hand here: a connection broke, or one was locked then
            lanes.keep_up(now)
            if now < lanes.look_at:
                lanes.wait(raw, self._reader, lanes.look_at)
                continue
            limit = int(min(self._limit, self._left))
            places = lanes.now()
            rows = store.take(self._worker, places, limit, lanes.known) if places else []
            lanes.found(rows, limit)
            self._outage.lasts = False
            self._slot.idle()
            if rows:
                keys = {row.key for row in rows}
                self.serve(rows)
                lanes.admission.ended(keys)

    def _let_go(self) -> None:
        """Let go of all rows in its name, which it does not run; that counts for nothing."""
        if quarantine.release("worker = %(me)s", {"me": self._worker}, "not begun", clean=True):
            self._lanes.wake_others()

    # --- Rows ------------------------------------------------------------------------------------

    def serve(self, rows: list[store.Held]) -> None:
        """Run rows that were begun, or give them back."""
        start = time.monotonic()
        # Not reset by an error: the line that tells of it comes later.
        redaction.told.set(tuple(map(redaction.of_row, rows)))
        while rows and not self._stopping and time.monotonic() - start <= STALE:
            together: list[store.Held] = []
            while rows and self._may_share(rows[0]):
                together.append(rows.pop(0))
            if len(together) > 1:
                rows = self._run_together(together) + rows
            else:
                self._trace(together[0] if together else rows.pop(0))
                self._slot.idle()
        if rows or self._stopping:
            self._let_go()
        redaction.told.set(())
        self._limit = max(1, min(self._most, int(BUDGET / max(self._each, 1e-6))))
        if self._memory < mem_rss():
            logger.warning("a process has more than CELERY_WORKER_MAX_MEMORY_PER_CHILD; it ends")
            self._left = 0

    def _may_share(self, row: store.Held) -> bool:
        """Return whether a task may share a transaction.

        Not one that is long, or not known yet, nor one whose attempt before has ended without a
        word: a suspect must not take others with it.
        """
        task = self._app.tasks.get(row.task)
        suspect = row.attempt - row.clean_attempt > 1
        if suspect or not getattr(task, "atomic", False):
            return False
        return self._times.get(row.task, BUDGET) < BUDGET

    def _run_together(self, rest: list[store.Held]) -> list[store.Held]:
        """Run rows in one transaction; return those that were not begun when its time was over."""
        batch = self._batch = Batch()
        end, ran = time.monotonic() + BUDGET, []
        try:
            with batch.open():
                while rest and not self._stopping and time.monotonic() < end:
                    ran.append(rest.pop(0))
                    self._trace(ran[-1])
                    batch.check()
                self._slot.idle()
        except Exception as error:
            self._batch = None
            if batch.lost is not None or lost_database(error, conf.alias()):
                last = ran[-1]
                quarantine.postpone_after_outage(last.id, last.attempt, self._worker, error)
                raise
            if not isinstance(error, Together | OperationalError):
                logger.exception("a batch could not be committed; its tasks run one by one")
            # A deadlock between two batches, an end that was taken over: none of it has happened.
            for row in ran:
                if not self._stopping:
                    self._trace(row)
                    self._slot.idle()
        else:
            batch.call_on_commit()
        finally:
            self._batch = None
        return rest

    # --- One task --------------------------------------------------------------------------------

    def make_attempt(self, task: Any, ticket: Ticket | None, request: Any) -> Attempt:
        """Return the attempt of a task; one of its own rows has begun.

        :raises Superseded: it was taken over meanwhile, and must not store that it runs; or the
            database went away, and another attempt comes.
        """
        if ticket is None or ticket.worker != self._worker:
            return Attempt(task, ticket, request)
        if self._batch is not None:
            attempt: Attempt = SharedAttempt(task, ticket, self._batch, request)
        else:
            attempt = Attempt(task, ticket, request)
        attempt.number = ticket.attempt
        # Of one that isn't atomic, the begin must be on the disk before it goes on.
        if self._batch is None and (results.started(task) or not task.atomic):
            self._confirm(attempt, ticket)
        attempt.phase = Phase.RUNNING
        attempt.run = partial(self._minded, task.name)  # type: ignore[method-assign]
        return attempt

    def _confirm(self, attempt: Attempt, ticket: Ticket) -> None:
        """Store that a task runs, if it is still this attempt that runs it.

        :raises Superseded: it is not; or the database went away, which is not the task's failure.
        """
        try:
            begun = attempts.begun(attempt.task, ticket, attempt.request, store.confirm)
        except DatabaseError as error:
            if not lost_database(error, conf.alias()):
                raise
            raise attempt.lost_database(error) from error
        attempt.has_begun(*begun)

    def _trace(self, row: store.Held) -> None:
        """Run one task by Celery's tracer, as a process of prefork does."""
        self._left -= 1
        try:
            task = self._app.tasks[row.task]
            headers = results.decode(row.headers)
            args, kwargs, embed = results.decode(row.body)
        except Exception as error:  # another worker may be able to read it
            cause = quarantine.UNREADABLE._replace(state="running")
            quarantine.postpone_or_quarantine(row.id, row.attempt, cause, text_of(error))
            return
        if task.__trace__ is None:
            loader = self._app.loader
            task.__trace__ = build_tracer(task.name, task, loader, self._hostname, app=self._app)
        hard, soft = headers.get("timelimit") or (None, None)
        soft, hard = soft or task.soft_time_limit, hard or task.time_limit
        request = {
            **ticketed(headers, [row.id, row.attempt, self._worker]), **embed,
            "args": args, "kwargs": kwargs, "is_eager": False, "utc": True,
            "hostname": self._hostname, "correlation_id": row.task_id,
            "delivery_info": {**delivery_info(row), "priority": row.priority},
        }  # fmt: skip
        self._slot.runs(row.id, row.attempt, hard or 0.0)
        self._is_late = False
        if soft:
            signal.setitimer(signal.ITIMER_REAL, soft)
        try:
            task.__trace__(row.task_id, args, kwargs, request)
        finally:
            if soft:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _soft_limit(self, *args: Any) -> None:
        self._is_late = True
        if self._in_body:
            raise SoftTimeLimitExceeded

    def _minded(self, task: str, body: Callable[[], Any]) -> Any:
        """Run a task's own code: that is what its time is, and only there its soft limit raises."""
        start = time.monotonic()
        self._in_body = True
        try:
            if self._is_late:  # before its own code had begun
                raise SoftTimeLimitExceeded
            return body()
        finally:
            self._in_body = False
            took = time.monotonic() - start
            before = self._times.get(task, took)
            self._times[task] = before + NEWEST * (took - before)
            self._each += NEWEST * (took - self._each)
