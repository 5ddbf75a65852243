"""Statements that are run again and again: prepared on their connection, bound on the server."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import psycopg
from django.db import connections


def run_prepared(
    alias: str, statement: str, values: dict[str, Any], *, prepare: bool
) -> list[tuple[Any, ...]]:
    """Run a statement that is run again and again; return its rows.

    The connection need not be asked first whether it still answers (``CONN_HEALTH_CHECKS``), if the
    caller does this again on a new one.

    :param prepare: whether the connection keeps the statement, which some poolers lose.
    :raises django.db.Error: nothing, or an unknown part of it, was done.
    """
    connection = connections[alias]
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    raw = connection.connection
    threshold = raw.prepare_threshold
    # Django's own cursor binds values on the client and can't prepare, and its connections don't.
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        try:
            raw.prepare_threshold = 0 if prepare else None
            # What Django's cursor would go through as well (connection.execute_wrapper()).
            execute: Callable[..., Any] = partial(_execute, cursor)
            for wrapper in reversed(connection.execute_wrappers):
                execute = partial(wrapper, execute)
            execute(statement, values, False, {"connection": connection, "cursor": cursor})
        finally:
            raw.prepare_threshold = threshold
        connection.health_check_done = True  # type: ignore[attr-defined] # it has just answered
        return cursor.fetchall() if cursor.description else []


def compact(
    columns: dict[str, list[Any]], arrays: Collection[str] = ()
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the values of a statement on many rows, and the names of the columns that are arrays.

    A column that is the same in all rows is one value: most are, and each element of an array
    costs.

    :param arrays: the columns that are arrays in any case.
    """
    varying = tuple(
        name for name, values in columns.items()
        if name in arrays or values.count(values[0]) != len(values)
    )  # fmt: skip
    found = {name: v if name in varying else v[0] for name, v in columns.items()}
    return found, varying


def _execute(cursor: Any, sql: str, params: Any, many: bool, context: Any) -> None:
    cursor.execute(sql, params)
