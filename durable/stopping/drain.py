"""Drives the worker's event loop while it stops."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from durable.health.heartbeat import HeartbeatFile

from . import handback
from .event_loop import EventLoop, wakes_after

logger = logging.getLogger(__name__)

#: Seconds after which a turn must have waited for the broker; its sockets give up after 5. A
#: broker that is taken for frozen and isn't gets its acknowledgements all the same.
FROZEN = 4.0
#: Seconds that a turn waits at most; of what a condition asks, no event may tell.
PAUSE = 0.05


class Drain:
    """Turns the loop, with the broker or without it.

    Without it no more is read from it, and no new connection is made: what a new one could bring
    is not wanted any more. An acknowledgement makes one of its own, and may succeed.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._hub = worker.hub
        self._file = HeartbeatFile("worker")
        # The consumer's own heart beats only while it consumes.
        self._hub.call_repeatedly(1.0, self._file.touch, "stopping")
        self._without_broker: EventLoop | None = None
        self._loop = self._hub.create_loop()
        if worker.consumer.connection is None:  # it was just trying to reconnect
            self._go_on_without_broker()

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Turn the loop until *condition* holds, for *seconds*; return whether it does."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= end:
                return False
            self.turn(end - time.monotonic())
        self.turn(0)  # acknowledgements are sent by the turn after
        return True

    def turn(self, seconds: float = 0) -> None:
        """Turn the loop once; wait for its next event for *seconds*, and ``PAUSE`` at most."""
        seconds = min(seconds, PAUSE)
        if self._without_broker is not None:
            self._without_broker.turn(seconds)
            return
        timer = wakes_after(self._hub, seconds)
        start = time.monotonic()
        try:
            next(self._loop)
        except StopIteration:
            self._loop = self._hub.create_loop()
        except Exception as error:
            consumer = self._worker.consumer
            if isinstance(error, (*consumer.connection_errors, *consumer.channel_errors)):
                logger.warning("the broker is away while the worker stops: %s", error)
                self._go_on_without_broker()
            else:
                logger.exception("an error on the event loop while the worker stops")
                self._loop = self._hub.create_loop()
        else:
            if time.monotonic() - start > FROZEN:
                logger.warning("the broker seems to be frozen while the worker stops")
                self._go_on_without_broker()
        finally:
            timer.cancel()

    def _go_on_without_broker(self) -> None:
        handback.expect_no_answer(self._worker.consumer)
        self._worker.consumer._cancel_connection_timer_entries()
        self._without_broker = EventLoop(self._worker)
