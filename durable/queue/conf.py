"""The queue's settings, each with its default: ``DURABLE_<NAME>`` in Django's settings."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings

from durable.database.routes import alias_of

DEFAULTS: dict[str, Any] = {
    # Every delay() and apply_async() writes a row, those of libraries too.
    "DELAY": False,
    # Attempts in a row that end without a word (a crash, an out-of-memory kill) until quarantine.
    "MAX_ATTEMPTS": 5,
    # Seconds between two signs of life of a worker, and without any until it counts as dead.
    "HEARTBEAT": 2,
    "DEAD_AFTER": 10,
    # Seconds between two looks of an idle worker for rows; a call wakes it by NOTIFY before.
    "POLL": 0.5,
    # Prepare the statements of each task's path on each connection, and listen for NOTIFY. Not
    # through a pooler that hands each transaction to another connection.
    "PREPARE": True,
    # Limits of queues, by their names: {"mail": Limit(rate="10/s")} (durable.queue.limits).
    "LIMITS": {},
    # Bytes that the message of a plain call has at most, 0 for any number: over a slow line to the
    # broker a larger one would not be sent within its socket_timeout, and be tried again in vain.
    "MESSAGE_MAX_BYTES": 512 * 1024,
}


def get(name: str) -> Any:
    """Return the setting ``DURABLE_<name>``, or its default."""
    return getattr(settings, f"DURABLE_{name}", DEFAULTS[name])


def alias() -> str:
    """Return the alias of the database that holds the rows."""
    return alias_of(_model())


@cache
def _model() -> Any:
    from .models import Task

    return Task


#: Rows that one statement of the janitor or of *Discard* ends at most.
BATCH = 500

#: The header that ties a message to a row: its id, its attempts so far, the worker that holds it.
HEADER = "durable"

#: The header with a call's place (limits.py): for its next life, and for people.
LIMIT = "durable_limit"

#: The header with what a plain call's message says beside its headers: ``eta``, ``properties``.
MESSAGE = "durable_message"

#: The channel on which a call wakes workers.
CHANNEL = "durable_task"
