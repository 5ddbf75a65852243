"""A worker's events, which must not hold up its event loop while the broker is frozen."""

from __future__ import annotations

from typing import Any

from celery.events.dispatcher import EventDispatcher

#: The event that a timer of the event loop sends, every two seconds.
HEARTBEAT = "worker-heartbeat"


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Publishes without a second try.

    Celery's own heartbeat tries again for ever, on the event loop: it stands still until the broker
    is back. Here the first failure of a heartbeat ends the connection, and the worker connects
    anew beside its loop (consumer.py).
    """

    def send(self, type: str, *args: Any, **fields: Any) -> Any:
        """Send an event; of a heartbeat nothing is kept for later."""
        buffers: bool = self.buffer_while_offline  # type: ignore[has-type]
        self.buffer_while_offline = buffers and type != HEARTBEAT
        try:
            return super().send(type, *args, **{**fields, "retry": False})
        finally:
            self.buffer_while_offline = buffers
