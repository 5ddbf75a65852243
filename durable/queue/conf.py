"""The settings of this app, each with its default: ``DURABLE_<NAME>`` in Django's settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import router

DEFAULTS: dict[str, Any] = {
    # Seconds that a caller waits for the broker, at most, before the relay takes over.
    "PUBLISH_TIMEOUT": 1.0,
    # Tasks of one transaction that the caller publishes itself; the relay sends the others.
    "PUBLISH_MAX": 500,
    # Starts in a row without a report (a crash, an out-of-memory kill) until the quarantine.
    "MAX_STARTS": 5,
    # Seconds between two signs of life of a worker, and without any until it counts as dead.
    "HEARTBEAT": 2,
    "DEAD_AFTER": 10,
    # Seconds after which a message that nothing was heard of is sent again, as the last resort.
    "RESEND_AFTER": 6 * 3600,
    # Seconds between two looks of the relay for rows to send, and how many it sends at once.
    "POLL": 0.5,
    "BATCH": 500,
    # Prepare the statements of each task's path on each connection. Not through a pooler that hands
    # each transaction to another connection and doesn't follow prepared statements.
    "PREPARE": True,
}


def get(name: str) -> Any:
    """Return the setting ``DURABLE_<name>``, or its default."""
    return getattr(settings, f"DURABLE_{name}", DEFAULTS[name])


def alias() -> str:
    """Return the alias of the database that holds the rows."""
    from .models import Task

    return router.db_for_write(Task)


#: Seconds that whoever publishes a row has for it, before the relay does.
LEASE = 15

#: The message's header that makes a task durable: which row, which start it is to be, when sent.
HEADER = "durable"
