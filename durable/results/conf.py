"""The settings of this app, each with its default: ``RESULTS_<NAME>`` in Django's settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    # Seconds that a task waits, to store its result, for a database that is away; then its message
    # goes back to the broker, and it runs again. Less than the task's time limit leaves it.
    "PATIENCE": 60.0,
    # Prepare the statement on each connection. Not through a pooler that hands each transaction to
    # another connection and doesn't follow prepared statements.
    "PREPARE": True,
}

#: The same for anybody else: a request that reads a result, the main process of a worker.
SHORT = 2.0


def get(name: str) -> Any:
    """Return the setting ``RESULTS_<name>``, or its default."""
    return getattr(settings, f"RESULTS_{name}", DEFAULTS[name])
