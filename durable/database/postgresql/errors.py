"""Errors of the database that say whether it was lost by them, and which one it was."""

from __future__ import annotations

from types import TracebackType

import psycopg
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper


class DatabaseErrors(DatabaseErrorWrapper):
    """Turns psycopg's errors into Django's, with ``lost_database``: an alias or ``None``.

    It is decided here, where the connection can be asked: later it may be closed or another one.
    """

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        super().__init__(wrapper)
        self._wrapper = wrapper

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except Error as error:
            lost = _is_lost(exc_value, self._wrapper.connection)
            error.lost_database = self._wrapper.alias if lost else None  # type: ignore[attr-defined]
            raise


def _is_lost(error: BaseException | None, connection: psycopg.Connection | None) -> bool:
    """Return whether *error* is the server's absence; others (deadlock, timeout) are the query's.

    08: connection. 57P: it shuts down or starts. 53: too many connections. 25006: a pooler leads to
    what is a replica by now.
    """
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return True
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    if error.sqlstate:
        return error.sqlstate[:3] == "57P" or error.sqlstate[:2] in {"08", "53"}
    # The server has said nothing. On a connection that is open it was libpq: "another command is
    # already in progress".
    if connection is None:
        return True
    return connection.closed and not getattr(connection, "interrupted", False)
