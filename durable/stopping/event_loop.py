"""A worker's event loop, turned while there is no consumer: its broker is away, or it stops."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)


class EventLoop:
    """Turns the loop for the pool and the worker's other steps, and nothing of the broker's.

    Celery's own loop (``asynloop``) resets the hub when a connection breaks, and with it forgets
    the pool's pipes; no result would be read until the next connection.
    """

    def __init__(self, worker: Any) -> None:
        self._hub, pool = worker.hub, worker.pool
        before = timer_entries(self._hub)
        self._hub.reset()
        self._hub.propagate_errors = ()
        self._hub.on_tick.clear()
        worker.register_with_event_loop(self._hub)
        if on_tick := getattr(getattr(pool, "_pool", None), "on_poll_start", None):
            self._hub.on_tick.add(on_tick)
        self._own_timers = timer_entries(self._hub) - before
        self._loop = self._hub.create_loop()

    def turn(self, seconds: float) -> None:
        """Turn once; wait for the next event for so many seconds at most."""
        timer = wakes_after(self._hub, seconds)
        try:
            next(self._loop)
        except StopIteration:
            self._loop = self._hub.create_loop()
        except Exception:
            logger.exception("an error on the worker's event loop")
            self._loop = self._hub.create_loop()
        finally:
            timer.cancel()

    def cancel_own_timers(self) -> None:
        """Leave no timer twice when the consumer registers its own again."""
        for entry in self._own_timers:
            self._hub.timer.cancel(entry)


def timer_entries(hub: Any) -> set[Any]:
    """Return what a hub's timer has scheduled."""
    return {scheduled.entry for scheduled in hub.timer.queue}


def wakes_after(hub: Any, seconds: float) -> Any:
    """Return a timer that ends a turn's wait after *seconds*, to be cancelled after the turn.

    It repeats: the hub fires what is due before it waits, and would then wait for its next timer.
    """
    return hub.call_repeatedly(max(seconds, 0.01), int)
