"""A worker's rows: a thread takes them in hand, the event loop gives them to Celery.

The thread has a connection of its own. It listens for calls, holds as many rows as there are free
slots and a few ahead, gives signs of life, and lets go of what the worker can't end. All else
happens on the event loop, where a row becomes a message of Celery's own kind, so that time limits,
rate limits, revokes, events and signals mean what they always do.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from celery import bootsteps, signals
from celery.worker import state
from django.db import connections

from durable.database import background
from durable.database.outage import ABSENCE
from durable.database.text import repr_of
from durable.journal import redaction
from durable.stopping.pools import Pool

from .. import conf, store
from ..endings import janitor, quarantine
from .lanes import Lanes
from .request import RowMessage, ending
from .signs import Lost, Signs
from .ticket import Ticket

logger = logging.getLogger(__name__)

#: Seconds of work that a worker holds ahead of its free slots, and the most rows that this can be.
AHEAD, MOST_AHEAD = 0.05, 64
#: Seconds after which rows that were held ahead go back, if no slot has become free.
STALE = 1.0
#: Seconds that a worker which stops waits for a database that is away, to sign off.
SIGN_OFF = 4.0
#: Seconds between two tries to reach the database.
PAUSE = 1.0

#: The thread's session. What it writes can be lost with the server: a row is then where it was
#: before, and found there. A hold is planned once, perhaps while the table is empty, and must go by
#: the index all the same; before PostgreSQL 18 that makes others look dear enough to be compiled.
SESSION = """SET synchronous_commit = off; SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off; SET jit = off"""


class Rows(bootsteps.StartStopStep):  # type: ignore[misc]
    """The worker's step that serves durable tasks."""

    label = "Durable rows"
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        global _rows
        _rows = worker.durable_rows = self
        from .broker import Dispatcher
        from .consumer import Consumer, is_default

        if is_default(worker.consumer_cls):
            worker.consumer_cls = Consumer
            worker.app.events.dispatcher_cls = Dispatcher
        self.worker = worker
        self.stopping = False
        self.seen_at = 0.0  # when the database answered last, by the monotonic clock
        #: In this worker's hand: from hold to the end, by the row's id.
        self.in_hand: dict[int, RowMessage] = {}
        self._ahead: deque[tuple[float, store.Held]] = deque()  # held, and not with Celery yet
        self._jobs: deque[Callable[[], Any]] = deque()
        self._lanes = Lanes(self._queues, worker.app.tasks)
        self._signs = Signs(worker.app, self._queues, self._cancel)
        self.worker_id = self._signs.worker_id
        self._lost = Lost(self.worker_id)
        self._ended = 0
        self._rate, self._rate_at = 0.0, time.monotonic()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._waker, self._awake = -1, False
        self._slots = 1

    # --- Celery's side ---------------------------------------------------------------------------

    def start(self, worker: Any) -> None:
        self._reader, self._waker = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._waker, False)
        # What the broker's connection takes along when it breaks are its own messages: the consumer
        # withdraws those (consumer.py), and the rest of the pool's work goes on.
        worker.pool.flush = None
        Pool(worker.pool).notice_exits_at_once(worker.hub)
        self._thread = threading.Thread(target=self._run, name="durable-rows", daemon=True)
        self._thread.start()
        signals.worker_shutting_down.connect(self.stop_holding)
        signals.worker_shutdown.connect(self.sign_off)
        # A cold shutdown sends no worker_shutdown; a pool's children leave by os._exit().
        atexit.register(self.sign_off)

    def _queues(self) -> Iterable[str]:
        found: Iterable[str] = self.worker.app.amqp.queues.consume_from
        return found

    @property
    def slots(self) -> int:
        """How many tasks the worker runs at the same time."""
        with suppress(AttributeError):  # a pool that has stopped has none
            self._slots = int(self.worker.pool.num_processes or 1)
        return self._slots

    def give(self) -> None:
        """Give rows to Celery while it has free slots; on the event loop."""
        consumer = self.worker.consumer
        if not consumer.strategies:  # the broker was not there yet
            consumer.update_strategies()
        while self._ahead and len(state.reserved_requests) < self.slots and not self.stopping:
            try:
                _, row = self._ahead.popleft()
            except IndexError:  # the thread has let go of it
                return
            if row.id not in self.in_hand:  # else it was taken for dead, and Celery has it since
                self._give(row)

    def _give(self, row: store.Held) -> None:
        consumer = self.worker.consumer
        try:
            message = self.in_hand[row.id] = RowMessage(row, self)
            strategy = consumer.strategies[row.task]
            strategy(message, None, message.ack_log_error, message.reject_log_error, ())
        except Exception as error:
            with redaction.about(redaction.of_row(row)):
                why = redaction.clean(repr_of(error))
            self._job(
                quarantine.postpone_or_quarantine, row.id, row.attempt, quarantine.UNREADABLE,
                why, self.worker_id,
            )  # fmt: skip
            self.in_hand.pop(row.id, None)

    def given(self) -> list[Any]:
        """Return Celery's requests of rows that no process has begun."""
        return [
            message.request for message in list(self.in_hand.values())
            if message.request is not None and message.request not in state.active_requests
        ]  # fmt: skip

    def give_again(self, message: RowMessage) -> None:
        """Give a row to Celery that has lost it with the broker's connection."""
        if not self.stopping:
            self._give(message.row)

    def left(self, message: RowMessage) -> None:
        """Take note that a row is out of Celery's hands; of a pool of threads, in one of these."""
        self._ended += 1
        self.in_hand.pop(message.row.id, None)
        if message.row.key:
            self._lanes.admission.ended([message.row.key])
            self._wake()
        if self._ahead:
            self.worker.consumer.call_soon(self.give)
        if len(self._ahead) <= self._may_hold_ahead() // 2:
            self._wake()

    def let_go(self, message: RowMessage, why: str) -> None:
        """Give a row back whose process died, that was rejected, or that the stop has withdrawn."""
        row = message.row
        self._job(
            self._release, "id = %(id)s AND attempt IN (%(n)s, %(n)s + 1)",
            "its worker stopped" if self.stopping else why,
            clean=self.stopping, id=row.id, n=row.attempt,
        )  # fmt: skip
        self.in_hand.pop(row.id, None)

    def _release(self, where: str, why: str = "", *, clean: bool = False, **values: Any) -> None:
        mine = {"me": self.worker_id, **values}
        quarantine.release(f"worker = %(me)s AND {where}", mine, why, clean=clean)
        self._lanes.wake_others()

    # --- The thread's side -----------------------------------------------------------------------

    def _job(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Let the thread do *call*. What fails there is found by the next sign of life."""
        self._jobs.append(partial(call, *args, **kwargs))
        self._wake()

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            with suppress(BlockingIOError):
                os.write(self._waker, b"\0")

    def _run(self) -> None:
        away = False
        while not self._stop.is_set():
            try:
                self._session()
            except Exception as error:
                if not away and isinstance(error, ABSENCE):
                    logger.warning("durable tasks wait for the database: %s", error)
                elif not away:
                    logger.exception("the rows' thread has failed, and begins anew")
                away = time.monotonic() - self.seen_at > PAUSE
                connections[conf.alias()].close()
                self._stop.wait(PAUSE)
        connections[conf.alias()].close()

    def _session(self) -> None:
        """Serve the rows over one connection.

        :raises Exception: the database is away.
        """
        connection = connections[conf.alias()]
        connection.ensure_connection()
        raw: Any = connection.connection
        self._lanes.begin(raw)
        if conf.get("PREPARE"):
            store.run(SESSION)  # not through a pooler, which would hand it to others
        self._beat()
        beat_at = time.monotonic() + conf.get("HEARTBEAT")
        while not self._stop.is_set():
            while self._jobs:
                self._jobs.popleft()()
            now = time.monotonic()
            if now >= beat_at:
                self._beat()
                beat_at = now + conf.get("HEARTBEAT")
            self._lanes.keep_up(now)
            wants = self._wants()
            if wants and now >= self._lanes.look_at:
                self._hold(wants)
                self.seen_at = time.monotonic()
            elif self._lanes.wait(
                raw, self._reader, min(beat_at, self._lanes.look_at) if wants else beat_at
            ):
                # In this order: a wake in between finds the flag set, and what it is for is looked
                # at after this. Else its byte would be read, and no later one be written.
                with suppress(BlockingIOError):
                    os.read(self._reader, 4096)
                self._awake = False

    def _may_hold_ahead(self) -> int:
        return min(MOST_AHEAD, int(self._rate * AHEAD))

    def _wants(self) -> int:
        """Return how many rows to hold now: as many slots as are free, and a few ahead."""
        if self.stopping:
            return 0
        now, ahead = time.monotonic(), self._may_hold_ahead()
        if now - self._rate_at >= 0.25:  # seconds
            self._rate = 0.5 * self._rate + 0.5 * self._ended / (now - self._rate_at)
            self._ended, self._rate_at = 0, now
        busy = max(len(self.in_hand), len(state.reserved_requests)) + len(self._ahead)
        free = self.slots - busy
        wants = free + ahead
        return wants if free > 0 or wants > ahead // 2 else 0

    def _hold(self, wants: int) -> None:
        lanes = self._lanes.now()
        rows = store.hold(self.worker_id, lanes, wants, self._lanes.known) if lanes else []
        now = time.monotonic()
        self._ahead.extend((now, row) for row in rows)
        self._lanes.found(rows, wants)
        if rows:
            self.worker.consumer.call_soon(self.give)

    def _beat(self) -> None:
        """Give a sign of life; let go of rows of this worker that it neither holds nor runs."""
        self._signs.give(self.slots)
        now = time.monotonic()
        silence, self.seen_at = now - (self.seen_at or now), now
        stale = []
        if self._ahead and now - self._ahead[0][0] > STALE:
            with suppress(IndexError):
                while True:
                    stale.append(self._ahead.popleft()[1].id)
        if stale:
            self._release("started_at IS NULL AND id = ANY(%(ids)s)", ids=stale)
        # First what the table says, then what the worker has: a row that ends in between is in the
        # first only, but it is gone or has moved on, and the release finds nothing.
        mine = store.of_worker(self.worker_id)
        ahead = {row.id for _, row in list(self._ahead)}
        missed = {row for row in mine if row[0] not in self.in_hand and row[0] not in ahead}
        self._lost.let_go(missed, silence)
        janitor.sweep()

    def _cancel(self, row_id: int) -> None:
        if message := self.in_hand.get(row_id):
            self.worker.consumer.call_soon(partial(self._end, message))

    def _end(self, message: RowMessage) -> None:
        """End the process of a task that was cancelled; on the event loop."""
        if message.request is None or message.row.id not in self.in_hand:
            return
        message.cancelled = True
        try:
            message.request.terminate(self.worker.pool, signal="TERM")
        except NotImplementedError:  # a pool of threads
            logger.warning("%s was cancelled, and works on for nothing", message.request)

    # --- The stop --------------------------------------------------------------------------------

    def stop_holding(self, **kwargs: Any) -> None:
        """Hold no more rows, and let go of those that no process has begun, in one statement."""
        if not self.stopping:
            self.stopping = True
            self._ahead.clear()
            self._job(self._release, "started_at IS NULL")

    def sign_off(self, **kwargs: Any) -> None:
        """Hand back what was not finished: the worker has stopped, nothing runs here any more."""
        if self._stop.is_set():
            return
        self.stopping = True
        self._stop.set()
        self._wake()
        if self._thread:
            self._thread.join(SIGN_OFF)
        try:
            background.run(self._sign_off, SIGN_OFF, goes_on=False)
        except Exception as error:  # the janitor will notice by the missing signs of life
            logger.warning("couldn't hand back what this worker ran: %r", error)

    def _sign_off(self) -> None:
        store.sign_off(self.worker_id)
        self._release("TRUE", "its worker stopped", clean=True)


_rows: Rows | None = None


def ticket_of_running(task_id: str) -> Ticket | None:
    """Return what the message of a task says that this worker's main process has in hand."""
    message = in_hand(task_id)
    return Ticket.of(message.headers) if message else None


def in_hand(task_id: str) -> RowMessage | None:
    """Return the message of a task that the main process has in hand; of two, what it ends now."""
    mine: dict[int, RowMessage] = _rows.in_hand.copy() if _rows else {}
    found = (one for one in (ending.get(), *mine.values()) if one and one.row.task_id == task_id)
    return next(found, None)
