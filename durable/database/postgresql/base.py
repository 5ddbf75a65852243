"""Django's PostgreSQL backend, as every role of this project uses it.

- A query that a signal interrupts (a soft time limit) is cancelled; see connection.py.
- A connection that is known to be closed is replaced, outside of a transaction.
- An error says whether the database was lost by it; see errors.py.
- A second connection beside a transaction, for what must not wait for its end; see ../cache.py.
- With a pool as large as the process' threads are many, a connection is always free there, so a
  thread that waits for one waits for a database that is away. It does so for ``PATIENCE`` seconds,
  in which PostgreSQL restarts. From then on one at a time waits, and the other requests are
  answered at once: else each would wait, request after request, while visitors queue behind them.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base
from django.utils.functional import cached_property
from psycopg_pool import ConnectionPool, PoolTimeout

from .. import lifetime as lifetime  # connections end with their thread, and before a fork
from .breaker import Breaker
from .connection import Connection
from .errors import DatabaseErrors

#: Seconds that a request waits for a database that is away.
PATIENCE = 10.0
_breakers: dict[str, Breaker] = {}
#: When a pool has last given out a connection or got one back, by alias.
_moved: dict[str, float] = {}


class DatabaseWrapper(base.DatabaseWrapper):
    """A thread's connection to a database."""

    Database = SimpleNamespace(  # type: ignore[assignment]
        **{**vars(psycopg), "connect": Connection.connect}
    )

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        options = settings_dict.get("OPTIONS") or {}
        if pool := options.get("pool"):
            pool = {"connection_class": Connection, **({} if pool is True else pool)}
            settings_dict = {**settings_dict, "OPTIONS": {**options, "pool": pool}}
        super().__init__(settings_dict, alias)
        self._beside: DatabaseWrapper | None = None

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrors:
        """Turn psycopg's errors into Django's."""
        return DatabaseErrors(self)

    @property
    def beside(self) -> DatabaseWrapper:
        """A second connection, outside of this one's transaction and pool; it ends with this one.

        Not of the pool: each thread would hold one there, and wait for the other's.
        """
        if self._beside is None or self._beside.connection is None:
            options = {k: v for k, v in self.settings_dict["OPTIONS"].items() if k != "pool"}
            self._beside = type(self)({**self.settings_dict, "OPTIONS": options}, self.alias)
        return self._beside

    def ensure_connection(self) -> None:
        """Connect, also in the place of a connection that is closed by now.

        Django would do so at the end of a request, which a bot or a consumer doesn't have.
        """
        if self.connection is not None and self.connection.closed and not self.in_atomic_block:
            self.close()
        super().ensure_connection()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open a connection, or take one from the pool.

        :raises psycopg.OperationalError: the database is away.
        """
        if self.pool is None:
            return super().get_new_connection(conn_params)
        pool = self.settings_dict["OPTIONS"]["pool"]
        if pool.get("max_size", 0) < settings.WEB_THREADS:  # a wait for another thread, perhaps
            connection = super().get_new_connection(conn_params)
        else:
            connection = self._wait_for_connection(conn_params)
        _moved[self.alias] = time.monotonic()
        return connection

    def _wait_for_connection(self, conn_params: dict[str, Any]) -> Any:
        breaker = _breakers.setdefault(self.alias, Breaker(PATIENCE))
        if not breaker.may_try():
            raise psycopg.OperationalError(
                "the database was away a moment ago, and another request asks"
            )
        end = time.monotonic() + PATIENCE
        while True:
            try:
                connection = super().get_new_connection(conn_params)
            except PoolTimeout:
                if time.monotonic() < end:
                    continue
                breaker.failed()
                raise
            breaker.succeeded()
            return connection

    def close(self) -> None:
        """Close the connection, or give it back to the pool."""
        if self._beside is not None:
            self._beside.close()
        if self.connection is not None and self.pool is not None:
            _moved[self.alias] = time.monotonic()
        super().close()

    def close_if_unusable_or_obsolete(self) -> None:
        """Close what broke or is too old."""
        if self._beside is not None:
            self._beside.close_if_unusable_or_obsolete()
        super().close_if_unusable_or_obsolete()


def exhausted_for() -> float:
    """Return the seconds for which all connections of a pool have been out, and none came back."""
    longest = 0.0
    pools: dict[str, ConnectionPool] = DatabaseWrapper._connection_pools  # type: ignore[attr-defined]
    for alias, pool in list(pools.items()):
        stats = pool.get_stats()
        if not stats["pool_available"] and stats["pool_size"] >= stats["pool_max"]:
            now = time.monotonic()
            longest = max(longest, now - _moved.get(alias, now))
    return longest
