"""The sessions of the server, those of other roles too, without their statements.

PostgreSQL shows a role of another's session little more than that it is there: not since when its
transaction runs. Who may see that (pg_read_all_stats) sees statements as well, and passwords in
some of them. So the owner, which has that right where deploy/postgres/roles.sql gave it, lends what
is harmless by a function.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections

FUNCTION = "durable_sessions"
COLUMNS = {
    "datname": "name",
    "pid": "integer",
    "application_name": "text",
    "backend_type": "text",
    "state": "text",
    "state_change": "timestamptz",
    "xact_start": "timestamptz",
    "wait_event_type": "text",
}

_CREATE = f"""CREATE OR REPLACE FUNCTION {FUNCTION}()
    RETURNS TABLE ({", ".join(map(" ".join, COLUMNS.items()))})
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS 'SELECT {", ".join(COLUMNS)} FROM pg_stat_activity'"""  # noqa: S608 - names from above


def lend(cursor: Any) -> None:
    """Make the function; the caller is the owner, and grants it."""
    cursor.execute(_CREATE)
    cursor.execute(f"REVOKE ALL ON FUNCTION {FUNCTION}() FROM PUBLIC")


def relation(cursor: Any) -> str:
    """Return what to select from: the function if it is there, else the server's own view."""
    cursor.execute("SELECT to_regprocedure(%s) IS NOT NULL", [f"{FUNCTION}()"])
    return f"{FUNCTION}()" if cursor.fetchone() == (True,) else "pg_stat_activity"


#: Applications that are told apart.
APPLICATIONS = 20


def by_application(alias: str) -> dict[tuple[str, ...], float]:
    """Return how many sessions of the database *alias* each application has, by its name.

    :raises django.db.Error: it is away.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"""SELECT coalesce(nullif(split_part(application_name, '/', 1), ''), 'other'), count(*)
               FROM {relation(cursor)}
               WHERE datname = current_database() AND backend_type = 'client backend'
               GROUP BY 1 ORDER BY 2 DESC LIMIT %s""",  # noqa: S608 - a name from above
            [APPLICATIONS],
        )
        return {(name,): float(count) for name, count in cursor.fetchall()}


class Session(NamedTuple):
    """A session of this role's, which lives as long as the process that has opened it."""

    pid: int
    #: Without its version.
    name: str
    #: Of the process (``session.labelled()``).
    version: str
    address: str
    since: datetime
    #: Seconds since its last statement.
    quiet: float


_NAMED = """SELECT pid, split_part(application_name, '/', 1),
        coalesce(substring(application_name from '/(.*)$'), ''),
        coalesce(client_addr::text, 'this machine'), backend_start,
        extract(epoch FROM clock_timestamp() - state_change)::float8
    FROM pg_stat_activity
    WHERE datname = current_database() AND split_part(application_name, '/', 1) = ANY(%s)
        AND backend_start IS NOT NULL AND state_change IS NOT NULL
    ORDER BY backend_start"""


def named(alias: str, *names: str) -> list[Session]:
    """Return the sessions of the database *alias* with these names, the oldest first.

    :raises django.db.Error: it is away.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(_NAMED, [list(names)])
        return [Session(*row) for row in cursor.fetchall()]
