"""One process of a batch worker: takes rows, and runs each with others or alone."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from celery import signals
from celery.app.trace import build_tracer
from celery.exceptions import SoftTimeLimitExceeded
from django.db import OperationalError, connections
from kombu.utils.json import loads

from durable.database.outage import lost_database

from .. import conf, results, store
from ..caller.notify import QUIET
from ..endings import quarantine
from ..worker import attempt as attempts
from ..worker.attempt import Attempt, Phase, Ticket
from ..worker.lanes import RESCAN, Lanes
from .shared import Batch, SharedAttempt, Together
from .slots import Slot

logger = logging.getLogger(__name__)

#: Seconds after which a batch ends; what was not begun goes on in the next one.
BUDGET = 0.02
#: Seconds after which rows that were taken and not begun are given back.
STALE = 0.25
#: Seconds between two tries to reach the database.
PAUSE = 1.0
#: How much of a task's newest time goes into what is expected of the next one.
NEWEST = 0.3


class Process:
    """The work of one process, from its fork to its end.

    :param app: Celery's application.
    :param worker: the id that stands in its rows.
    :param slot: what the supervisor sees of it.
    """

    def __init__(self, app: Any, worker: str, slot: Slot, queues: list[str], batch: int) -> None:
        self._app, self._worker, self._slot, self._most = app, worker, slot, batch
        self._lanes = Lanes(lambda: queues)
        self._stopping = False
        self._in_body = False
        self._limit = 1  # rows to take at once; grows while batches are quick
        self._times: dict[str, float] = {}  # what each task is expected to take, in seconds
        self._done = 0
        self._batch: Batch | None = None
        self._begun: dict[int, store.Held] = {}
        self._look_at = self._look_again_at = 0.0
        self._reader, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def run(self) -> None:
        """Serve rows until told to stop, or for as many tasks as a process may run."""
        signal.signal(signal.SIGTERM, self._told_to_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self._soft_limit)
        attempts.make = self._make_attempt
        signals.worker_process_init.send(sender=None)
        most = self._app.conf.worker_max_tasks_per_child or float("inf")
        away = False
        while not self._stopping and self._done < most:
            try:
                self._session(most)
                away = False
            except Exception as error:
                if not away:
                    logger.warning("durable tasks wait for the database: %s", error, exc_info=True)
                away = True
                connections[conf.alias()].close()
                self._wait(None, PAUSE)
        signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)

    def _told_to_stop(self, *args: Any) -> None:
        self._stopping = True
        with suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def _session(self, most: float) -> None:
        """Serve rows over one connection.

        :raises Exception: the database is away.
        """
        connection = connections[conf.alias()]
        connection.ensure_connection()
        raw: Any = connection.connection
        listens = bool(conf.get("PREPARE"))
        if listens:
            self._lanes.listen(raw, self._called)
        rescan_at = self._look_at = 0.0
        while not self._stopping and self._done < most:
            if connection.connection is not raw:  # a task has closed it
                return
            now = time.monotonic()
            if now >= rescan_at:
                self._lanes.rescan()
                rescan_at = now + (RESCAN if listens else conf.get("POLL"))
            if now >= self._look_at:
                lanes = self._lanes.now()
                rows = store.take(self._worker, lanes, self._limit) if lanes else []
                self._lanes.passed(rows)
                if len(rows) < self._limit:
                    again = self._look_again_at
                    self._look_at = again if again > now else now + conf.get("POLL")
                self._slot.alive()
                if rows:
                    self._serve(rows)
                    continue
            self._wait(raw, min(self._look_at, rescan_at) - time.monotonic())

    def _called(self) -> None:
        self._look_at = time.monotonic()
        self._look_again_at = self._look_at + QUIET + 0.001

    def _wait(self, raw: Any, seconds: float) -> None:
        sources = [self._reader, *([raw.fileno()] if raw is not None else [])]
        ready, _, _ = select.select(sources, [], [], max(0.0, seconds))
        if raw is not None and raw.fileno() in ready:
            Lanes.read(raw)

    # --- Rows ------------------------------------------------------------------------------------

    def _serve(self, rows: list[store.Held]) -> None:
        """Run rows that were begun, or give them back."""
        start = time.monotonic()
        self._begun = {row.id: row for row in rows}
        while rows:
            if self._stopping or time.monotonic() - start > STALE:
                self._give_back(rows)
                break
            together: list[store.Held] = []
            while rows and self._may_share(rows[0]):
                together.append(rows.pop(0))
            if len(together) > 1:
                rows = self._run_together(together) + rows
            elif together:
                self._run_alone(together[0])
            else:
                self._run_alone(rows.pop(0))
        took = time.monotonic() - start
        if took < BUDGET:
            self._limit = min(self._most, 2 * self._limit)
        elif took > 2 * BUDGET:
            self._limit = max(1, self._limit // 2)

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

    def _run_together(self, rows: list[store.Held]) -> list[store.Held]:
        """Run rows in one transaction; return those that were not begun when its time was over."""
        batch = self._batch = Batch()
        end, ran, row = time.monotonic() + BUDGET, [], rows[0]
        rest = list(rows)
        try:
            with batch.open():
                while rest and not self._stopping and time.monotonic() < end:
                    row = rest.pop(0)
                    ran.append(row)
                    self._trace(row)
                    if batch.lost is not None:
                        raise batch.lost
                    if batch.apart:
                        raise Together
                self._slot.idle()
        except Exception as error:
            self._batch = None
            if batch.lost is not None or lost_database(error, conf.alias()):
                self._lost(row, [*ran, *rest], error)
                raise
            if not isinstance(error, Together | OperationalError):
                logger.exception("a batch could not be committed; its tasks run one by one")
            # A deadlock between two batches, an end that was taken over: none of it has happened.
            connection = connections[conf.alias()]
            if connection.connection is None or connection.connection.closed:
                connection.close()
            for row in ran:
                self._run_alone(row)
        finally:
            self._batch = None
        self._done += len(ran)
        return rest

    def _run_alone(self, row: store.Held) -> None:
        self._trace(row)
        self._slot.idle()
        self._done += 1

    def _give_back(self, rows: list[store.Held]) -> None:
        """Let go of rows that were taken and not run; that counts for nothing."""
        quarantine.release(
            "worker = %(me)s AND id = ANY(%(ids)s)",
            {"me": self._worker, "ids": [row.id for row in rows]},
            "not begun", clean=True,
        )  # fmt: skip
        self._lanes.wake_others()

    def _lost(self, culprit: store.Held, rows: list[store.Held], error: BaseException) -> None:
        """Let go of the rows of a batch whose database went away; wait for that."""
        stand_in = Attempt.__new__(Attempt)
        stand_in.ticket = Ticket(culprit.id, culprit.attempt, self._worker)
        stand_in.number = culprit.attempt
        Attempt.lost_database(stand_in, error)
        self._give_back([row for row in rows if row.id != culprit.id])

    # --- One task --------------------------------------------------------------------------------

    def _make_attempt(self, task: Any, ticket: Ticket | None) -> Attempt:
        if ticket is None or ticket.row_id not in self._begun or ticket.worker != self._worker:
            return Attempt(task, ticket)
        if self._batch is not None:
            return _Minded(SharedAttempt(task, ticket, self._batch), self)
        return _Minded(_Alone(task, ticket), self)

    def _trace(self, row: store.Held) -> None:
        """Run one task by Celery's tracer, as a process of prefork does."""
        task = self._app.tasks.get(row.task)
        try:
            if task is None:
                raise LookupError(f"{row.task} is unknown to it")
            headers = loads(row.headers)
            args, kwargs, embed = loads(row.body)
        except Exception as error:
            self._refuse(row, error)
            return
        if task.__trace__ is None:
            task.__trace__ = build_tracer(
                task.name, task, self._app.loader, self._slot.hostname, app=self._app
            )
        hard, soft = headers.get("timelimit") or (None, None)
        soft, hard = soft or task.soft_time_limit, hard or task.time_limit
        request = {
            **headers, **embed, "args": args, "kwargs": kwargs, "is_eager": False, "utc": True,
            "hostname": self._slot.hostname, "correlation_id": row.task_id,
            "delivery_info": {
                "exchange": "", "routing_key": row.queue, "priority": row.priority,
                "redelivered": row.redelivered,
            },
            conf.HEADER: [row.id, row.attempt, self._worker],
        }  # fmt: skip
        self._slot.runs(row.id, row.attempt, hard or 0.0)
        if soft:
            signal.setitimer(signal.ITIMER_REAL, soft)
        try:
            task.__trace__(row.task_id, args, kwargs, request)
        finally:
            if soft:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _refuse(self, row: store.Held, error: Exception) -> None:
        """Let another worker run what this one can't read."""
        quarantine.postpone_or_quarantine(
            row.id, row.attempt, quarantine.UNKNOWN._replace(state="running"), str(error)
        )

    def _soft_limit(self, *args: Any) -> None:
        if self._in_body:
            raise SoftTimeLimitExceeded

    def minded(self, task: str, body: Callable[[], Any]) -> Any:
        """Run a task's own code: that is what its time is, and only there its soft limit raises."""
        start = time.monotonic()
        self._in_body = True
        try:
            return body()
        finally:
            self._in_body = False
            took = time.monotonic() - start
            before = self._times.get(task, took)
            self._times[task] = before + NEWEST * (took - before)


class _Alone(Attempt):
    """An attempt in a transaction of its own, whose row has begun."""

    def begin(self) -> None:
        """Record that it has."""
        assert self.ticket is not None  # noqa: S101 - it is durable
        self.number, self.phase = self.ticket.attempt, Phase.RUNNING
        results.store_started(self.task)


def _Minded(attempt: Attempt, process: Process) -> Attempt:  # noqa: N802
    attempt.run = partial(process.minded, attempt.task.name)  # type: ignore[method-assign]
    return attempt
