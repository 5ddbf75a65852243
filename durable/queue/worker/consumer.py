"""Celery's consumer, which goes on with the rows while the broker is away.

Celery's own waits for its broker in a loop of its own, in which the worker's event loop stands
still: no process of the pool gets a task, and no result is read. This one connects in a thread, and
turns the event loop meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer as CelerysConsumer
from kombu.exceptions import DecodeError
from kombu.utils.imports import symbol_by_name

from durable.stopping import handback
from durable.stopping.event_loop import EventLoop, timer_entries
from durable.stopping.pools import Pool

from .broker import restore_beside

logger = logging.getLogger(__name__)

#: Seconds between two tries to reach the broker: the first pause, and the longest.
PAUSES = (1.0, 30.0)

#: What a message raises that is no task: no JSON, no headers, headers of other types.
MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, DecodeError)


def is_default(consumer: Any) -> bool:
    """Return whether *consumer* is Celery's own class, or its name."""
    return symbol_by_name(consumer) is CelerysConsumer


class Consumer(CelerysConsumer):  # type: ignore[misc]
    """Connects beside the event loop, and keeps the rows when a connection breaks."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes; the event loop turns meanwhile.

        :raises Exception: the connection's errors, where ``CELERY_BROKER_CONNECTION_RETRY`` or
            ``_MAX_RETRIES`` ask for it.
        """
        conf = self.app.conf
        retries = (
            conf.broker_connection_retry_on_startup
            if self.first_connection_attempt  # type: ignore[has-type]
            else conf.broker_connection_retry
        )  # fmt: skip
        if self.hub is None or retries is False:
            return super().ensure_connected(conn)
        loop = None
        try:
            times, pause = 0, PAUSES[0]
            while True:
                thread = _Connecting(conn, self.hub)
                thread.start()
                if not thread.done.wait(0.2):  # seconds; most brokers answer before
                    loop = loop or EventLoop(self.controller)
                    while not thread.done.is_set():
                        self._turn(loop, 1.0)
                if thread.error is None:
                    break
                if not isinstance(thread.error, self.connection_errors):
                    raise thread.error
                times += 1
                if (
                    conf.broker_connection_max_retries
                    and times > conf.broker_connection_max_retries
                ):
                    raise thread.error
                logger.error(
                    "consumer: Cannot connect to %s: %s.\nTrying again in %.0f seconds; durable "
                    "tasks go on.", conn.as_uri(), thread.error, pause,
                )  # fmt: skip
                loop = loop or EventLoop(self.controller)
                end = time.monotonic() + pause
                while (left := end - time.monotonic()) > 0:
                    self._turn(loop, left)
                pause = min(2 * pause, PAUSES[1])
        finally:
            if loop is not None:
                loop.cancel_own_timers()
        restore_beside(conn)
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        # Celery takes what was added to the timer since it began to connect for the connection's.
        # Time limits of rows that were begun meanwhile are not.
        if loop is not None:
            self.timer_entries_before_start = timer_entries(self.hub)
            if self.connection is not None:
                # The events have a second one. The turns have taken the first off the loop, and
                # with it all messages: it is registered again, as connect() did.
                transport = self.connection.transport
                transport.register_with_event_loop(self.connection.connection, self.hub)
        return conn

    def _turn(self, loop: EventLoop, seconds: float) -> None:
        state.maybe_shutdown()
        loop.turn(min(seconds, 1.0))

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Return what takes a message; one that can't be a task is put aside with words.

        Celery's ends the worker at most of them, and the next one gets the message again.
        """
        handle = super().create_task_handler(*args, **kwargs)
        # Redis' channel: what is no JSON, or no message, fails before it gets to the handler.
        reads = getattr(self.task_consumer.channel, "handlers", {})
        if "BRPOP" in reads:
            reads["BRPOP"] = partial(_read, reads["BRPOP"])

        def received(message: Any) -> Any:
            try:
                return handle(message)
            except MALFORMED as error:
                _put_aside(error, message.headers)
                if not message.acknowledged:
                    message.reject_log_error(logger, self.connection_errors)

        return received

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the connection; no part of it waits long for a broker that is frozen."""
        handback.expect_no_answer(self)
        with suppress(Exception):  # before Celery's own, which gives each socket 5 s
            self.connection.collect(socket_timeout=handback.BRIEFLY)
        super().on_connection_error_after_connected(exc)

    def on_close(self) -> None:
        """Drop the broker's messages with its connection, and no row."""
        rows = getattr(self.controller, "durable_rows", None)
        if rows is None or self.pool is None:
            super().on_close()
            return
        pool = Pool(self.pool)
        waiting = rows.given()
        again = [request for request in waiting if pool.withdraw(request)]
        for request in list(state.reserved_requests):
            if request not in state.active_requests and request not in waiting:
                pool.withdraw(request)
        super().on_close()
        for request in waiting:
            if request in again:
                rows.give_again(request.message)
            else:
                state.task_reserved(request)  # a process has it, or the pool's thread


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except MALFORMED as error:
        _put_aside(error, "unreadable")


def _put_aside(error: Exception, headers: Any) -> None:
    if isinstance(headers, dict):  # without its arguments, which no log has to know
        headers = {name: headers[name] for name in headers if not str(name).endswith("argsrepr")}
    logger.error(
        "a message of the broker's is no task, and was put aside (%r; headers: %.500r)",
        error,
        headers,
    )


class _Connecting(threading.Thread):
    """Tries once to connect, and wakes the event loop when it has."""

    def __init__(self, connection: Any, hub: Any) -> None:
        super().__init__(name="broker-connection", daemon=True)
        self._connection, self._hub = connection, hub
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            # One try for each address that it knows (sentinels, a cluster).
            self._connection.ensure_connection(
                max_retries=1, interval_start=0, interval_step=0, reraise_as_library_errors=False
            )
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()
            self._hub.call_soon(int)
