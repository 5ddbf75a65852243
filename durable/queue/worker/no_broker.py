"""The worker's transport where there is no broker: rows are all that it serves.

``CELERY_BROKER_URL`` may be left out with ``DURABLE_DELAY=true``. Celery's worker wants a
connection all the same: this one is always there, brings nothing, and refuses what only a broker
can do instead of losing it.
"""

from __future__ import annotations

from typing import Any

from kombu.exceptions import OperationalError
from kombu.transport import memory, virtual

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
