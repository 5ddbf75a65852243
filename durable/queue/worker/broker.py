"""A worker's dealings with its broker, or with none: the rows wait for neither.

Calls to Redis by a timer of the event loop are made beside it: a frozen broker would hold up the
durable tasks. And ``CELERY_BROKER_URL`` may be left out with ``DURABLE_DELAY=true``: Celery's
worker wants a connection all the same, so its transport is always there, brings nothing, and
refuses what only a broker can do instead of losing it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.events.dispatcher import EventDispatcher
from kombu.exceptions import OperationalError
from kombu.transport import memory, virtual

from durable.database import background

#: The event that a timer of the event loop sends, every two seconds.
HEARTBEAT = "worker-heartbeat"
#: The last one of a worker that stops.
OFFLINE = "worker-offline"


class Beside:
    """A call that is made beside the event loop, one at a time."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def waits(self) -> bool:
        """``True`` while the call before has no answer."""
        return self._thread is not None and self._thread.is_alive()

    def run(self, call: Callable[[], Any]) -> None:
        """Make *call* in a thread, unless the one before has no answer yet.

        :raises BaseException: the one before has failed.
        """
        if self.waits:
            return
        error, self._error = self._error, None
        if error is not None:
            raise error
        self._thread = threading.Thread(target=self._run, args=[call], daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:
            self._error = error


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Publishes without a second try, and heartbeats beside the loop.

    Celery's own heartbeat tries again for ever, on the event loop: it stands still until the broker
    is back. Here the first failure of a heartbeat ends the connection, and the worker connects
    anew beside its loop (consumer.py).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._beats = Beside()
        super().__init__(*args, **kwargs)

    def send(self, type: str, *args: Any, **fields: Any) -> Any:
        """Send an event; of a heartbeat nothing is kept for later."""
        fields["retry"] = False
        if type == OFFLINE and self._beats.waits:  # the broker does not answer
            return None
        if type != HEARTBEAT:
            return super().send(type, *args, **fields)
        call = partial(self._send_heartbeat, *args, **fields)
        # Other brokers' connections are not for two threads.
        if background.is_event_loop() and self.connection.transport.driver_type == "redis":
            return self._beats.run(call)
        return call()

    def _send_heartbeat(self, *args: Any, **fields: Any) -> Any:
        buffers: bool = self.buffer_while_offline  # type: ignore[has-type]
        self.buffer_while_offline = False
        try:
            return super().send(HEARTBEAT, *args, **fields)
        finally:
            self.buffer_while_offline = buffers

    def close(self) -> None:
        """Send no more; without a wait for a heartbeat that has no answer."""
        if self._beats.waits:
            self.producer = None
        else:
            super().close()


def restore_beside(connection: Any) -> None:
    """Let kombu look beside the loop for messages whose visibility timeout is over (Redis)."""
    cycle: Any = getattr(connection.transport, "cycle", None)
    if connection.transport.driver_type == "redis" and hasattr(cycle, "maybe_restore_messages"):
        cycle.maybe_restore_messages = partial(Beside().run, cycle.maybe_restore_messages)


#: Events of workers: nothing listens to them without a broker.
_EVENTS = "celeryev"


class Channel(memory.Channel):
    """Refuses every message."""

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> None:
        """Drop an event; refuse all else.

        :raises OperationalError: it would be lost.
        """
        if exchange != _EVENTS:
            raise OperationalError(
                "there is no broker: CELERY_BROKER_URL is not set. Durable tasks need none "
                "(delay_on_commit(), or any call with DURABLE_DELAY=true); for plain messages and "
                "remote control (celery inspect, celery control) set it, redis://HOST:6379/0 for "
                "one"
            )


class Transport(memory.Transport):
    """A transport of nothing, for Celery's event loop."""

    Channel = Channel
    driver_type = "none"
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Add nothing: no message ever arrives."""

    def driver_version(self) -> str:
        """Return that there is none."""
        return "N/A"
