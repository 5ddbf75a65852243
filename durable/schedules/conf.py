"""The settings of beat, each with its default: ``BEAT_<NAME>`` in Django's settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    # Where the leader's session goes if a pooler stands before the database: past it.
    "DATABASE_URL": "",
    # Seconds without a sign of life after which PostgreSQL ends a leader's session.
    "LEADER_TIMEOUT": 5,
    # Whether a task whose time came while no beat could send it runs once on return.
    "RUN_MISSED": True,
    # Seconds that beat waits for the broker, at most, with a task of another project.
    "PUBLISH_TIMEOUT": 1.0,
}

#: Seconds between two signs of life of a leader, and two tries of a standby to become it.
POLL = 1.0
#: Seconds until the next try when the database or the broker can't be reached.
RETRY = 1.0
#: Seconds by which a task may be late and not count as missed: a takeover, a restart.
LATE = 60.0


def get(name: str) -> Any:
    """Return the setting ``BEAT_<name>``, or its default."""
    return getattr(settings, f"BEAT_{name}", DEFAULTS[name])
