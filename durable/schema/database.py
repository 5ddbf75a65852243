"""A session in the database that is there whatever stands before it."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

from durable.schedules import conf as beat


def connect(name: str) -> psycopg.Connection[Any]:
    """Open a session of its own, past a pooler if BEAT_DATABASE_URL leads there.

    :param name: what PostgreSQL lists the session as (``application_name``).
    :raises psycopg.OperationalError: the database can't be reached within 5 seconds.
    """
    # A replica grants the same locks to others.
    bounds = {
        "connect_timeout": 5,
        "application_name": name,
        "target_session_attrs": "read-write",
    }
    if url := beat.get("DATABASE_URL"):
        found: dict[str, Any] = {"conninfo": url}
    else:
        found = connections[DEFAULT_DB_ALIAS].get_connection_params()
        for option in ("cursor_factory", "context", "prepare_threshold", "pool"):
            found.pop(option, None)
    return psycopg.connect(**{**found, **bounds}, autocommit=True, prepare_threshold=None)


def variable() -> str:
    """Return the name of the setting that leads to the session's database."""
    return "BEAT_DATABASE_URL" if beat.get("DATABASE_URL") else "DATABASE_URL"


def reason(error: Exception) -> str:
    """Return what *error* says in its first line; libpq's others are guesses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
