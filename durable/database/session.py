"""A session in the database that is there whatever stands before it.

Locks of a session, for one: a pooler hands each statement to another session.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

#: Seconds until it is known that no server answers.
CONNECT_TIMEOUT = 5
#: Characters that PostgreSQL keeps of a session's name.
LONGEST_NAME = 63
#: As in the settings of DATABASES: a server that is gone is noticed within half a minute.
_GONE = {
    "tcp_user_timeout": 5000,  # milliseconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


def connect(
    name: str, alias: str = DEFAULT_DB_ALIAS, timeout: int = CONNECT_TIMEOUT
) -> psycopg.Connection[Any]:
    """Open a session of its own, past a pooler if BEAT_DATABASE_URL leads there.

    :param name: what PostgreSQL lists the session as (``application_name``).
    :param alias: the database whose settings it takes otherwise.
    :raises psycopg.OperationalError: the database can't be reached within *timeout* seconds.
    """
    if url := _url():
        found: dict[str, Any] = {"conninfo": url, **_GONE}
    else:
        found = connections[alias].get_connection_params()
        for option in ("cursor_factory", "context"):
            found.pop(option, None)
    return psycopg.connect(
        **{
            **found,
            "connect_timeout": timeout,
            "application_name": name,
            # A replica grants the same locks to others.
            "target_session_attrs": "read-write",
            "autocommit": True,
            "prepare_threshold": None,
        }
    )


def labelled(name: str) -> str:
    """Return *name* with the version that runs here: what a session tells others of its process."""
    version = str(getattr(settings, "APP_VERSION", ""))
    return f"{name}/{version}"[:LONGEST_NAME] if version else name


def _url() -> str:
    return str(getattr(settings, "BEAT_DATABASE_URL", ""))


def variable() -> str:
    """Return the name of the setting that leads to the session's database."""
    return "BEAT_DATABASE_URL" if _url() else "DATABASE_URL"


def reason(error: Exception) -> str:
    """Return what *error* says in its first line; libpq's others are guesses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
