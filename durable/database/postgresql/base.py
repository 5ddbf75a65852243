"""Django's PostgreSQL backend, for a web process whose pool is as large as its threads are many.

There a connection is always free, so whoever waits for one waits for a database that is away.
Without this each thread would wait for the pool's whole timeout, request after request, while
visitors queue behind them. Here one at a time waits; the other requests are answered at once.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from .breaker import Breaker

_breakers: dict[str, Breaker] = {}


class DatabaseWrapper(base.DatabaseWrapper):
    """Fails at once while the database is known to be away."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Take a connection from the pool.

        :raises psycopg.OperationalError: the database is away.
        """
        if self.pool is None:
            return super().get_new_connection(conn_params)
        timeout = float(self.settings_dict["OPTIONS"]["pool"]["timeout"])
        breaker = _breakers.setdefault(self.alias, Breaker(timeout))
        if not breaker.may_try():
            raise OperationalError("the database was away a moment ago, and another request asks")
        try:
            connection = super().get_new_connection(conn_params)
        except PoolTimeout:
            breaker.failed()
            raise
        breaker.succeeded()
        return connection
