"""Questions of the console to PostgreSQL and the broker themselves."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from celery import current_app
from django.db import connections

from durable.database import sessions
from durable.queue import conf as queue

#: Seconds that a page waits for the broker's answer, and that an answer is good for.
PATIENCE, KEEP = 0.5, 5.0


class Postgres(NamedTuple):
    """The server that holds the rows."""

    version: str
    connections: int
    most: int
    #: Seconds that the oldest transaction of this database is open, and whose it is.
    oldest: float
    oldest_name: str
    oldest_pid: int
    bytes: int


class Broker(NamedTuple):
    """The broker, as plain tasks need it."""

    #: ``ok``, ``away``, or ``none`` if there is none to be.
    state: str
    says: str
    memory: int
    limit: int
    #: Messages that it threw away for want of memory, since it started.
    evicted: int = 0


def postgres() -> Postgres:
    """Return what the server says of itself; it reads memory alone."""
    with connections[queue.alias()].cursor() as cursor:
        relation = sessions.relation(cursor)
        cursor.execute(
            f"""SELECT split_part(current_setting('server_version'), ' ', 1),
                   (SELECT count(*) FROM {relation} WHERE backend_type = 'client backend'),
                   current_setting('max_connections')::int,
                   coalesce(extract(epoch FROM clock_timestamp() - open.xact_start), 0)::float8,
                   coalesce(open.application_name, ''), coalesce(open.pid, 0),
                   pg_database_size(current_database())
               FROM (SELECT 1) AS one LEFT JOIN LATERAL (
                   SELECT xact_start, application_name, pid FROM {relation}
                   WHERE datname = current_database() AND pid <> pg_backend_pid()
                       AND xact_start IS NOT NULL AND backend_type = 'client backend'
                       AND application_name NOT LIKE 'pg_dump%'
                   ORDER BY xact_start LIMIT 1) AS open ON true"""  # noqa: S608
        )
        return Postgres(*cursor.fetchone())


class _Asked:
    """The broker's last answer. It is asked by a thread: no page waits for one that is frozen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._at = float("-inf")
        self._answer = Broker("ok", "", 0, 0)

    def read(self) -> Broker:
        with self._lock:
            if self._thread is None and time.monotonic() - self._at > KEEP:
                self._thread = threading.Thread(target=self._ask, daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(PATIENCE)
            if thread.is_alive():
                return Broker("away", f"no answer for {PATIENCE:g} s", 0, 0)
        return self._answer

    def _ask(self) -> None:
        try:
            self._answer = _ask()
        except Exception as error:
            # No address in it: that holds a password.
            self._answer = Broker("away", type(error).__name__, 0, 0)
        finally:
            with self._lock:
                self._at, self._thread = time.monotonic(), None


def _ask() -> Broker:
    if not current_app.conf.broker_url and not current_app.conf.broker_write_url:
        return Broker("none", "there is none: all tasks are rows", 0, 0)
    with current_app.connection_for_write(connect_timeout=2) as connection:
        if connection.transport_cls in ("memory", "filesystem"):
            return Broker("none", "there is none: all tasks are rows", 0, 0)
        connection.ensure_connection(max_retries=1, timeout=2)
        client: Any = getattr(connection.default_channel, "client", None)
        if client is None or not hasattr(client, "info"):
            return Broker("ok", connection.transport.driver_type, 0, 0)
        found = client.info()
        name = "Valkey" if "valkey_version" in found else "Redis"
        version = found.get("valkey_version") or found.get("redis_version", "")
        limit = int(found.get("maxmemory") or 0)
        evicted = int(found.get("evicted_keys") or 0)
        used = int(found.get("used_memory") or 0)
        return Broker("ok", f"{name} {version}", used, limit, evicted)


broker = _Asked().read
