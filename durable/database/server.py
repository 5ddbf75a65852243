"""What a PostgreSQL server says of itself: its connections, transactions and locks."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import connections

from . import sessions


class Server(NamedTuple):
    """A server, as one of its databases sees it."""

    version: str
    #: Of this database.
    bytes: int
    #: Connections of clients, and how many it leaves to users who are no superusers.
    connections: int
    most: int
    #: Seconds that the oldest transaction of this database is open, but for dumps, and whose it is.
    oldest: float
    oldest_pid: int
    oldest_name: str
    oldest_state: str
    #: Seconds that a session has waited for a lock, and which for which.
    locked: float
    waits: str
    #: When it was started.
    since: datetime | None = None


_SQL = """WITH clients AS MATERIALIZED (
        SELECT * FROM {sessions} WHERE backend_type = 'client backend')
    SELECT split_part(current_setting('server_version'), ' ', 1),
        pg_database_size(current_database()),
        (SELECT count(*) FROM clients),
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true), '0')::int,
        coalesce(extract(epoch FROM clock_timestamp() - open.xact_start), 0)::float8,
        coalesce(open.pid, 0), coalesce(open.application_name, ''), coalesce(open.state, ''),
        coalesce(extract(epoch FROM clock_timestamp() - waits.state_change), 0)::float8,
        CASE WHEN waits.pid IS NULL THEN '' ELSE 'pid ' || waits.pid || ' waits for pid '
            || array_to_string(pg_blocking_pids(waits.pid), ', ') END,
        pg_postmaster_start_time()
    FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (
        SELECT * FROM clients WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND xact_start IS NOT NULL AND application_name NOT LIKE 'pg_dump%'
        ORDER BY xact_start LIMIT 1) AS open ON true
    LEFT JOIN LATERAL (
        SELECT pid, state_change FROM clients WHERE wait_event_type = 'Lock'
        ORDER BY state_change LIMIT 1) AS waits ON true"""


def server(alias: str) -> Server:
    """Return what the server of the database *alias* says; it reads memory, and sizes of files.

    :raises django.db.Error: it is away.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(_SQL.format(sessions=sessions.relation(cursor)))
        return Server(*cursor.fetchone())
