"""Running a statement on the rows' database."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections

from durable.database import statement

from . import conf


def run(sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
    """Run one statement on the rows' database; return its rows."""
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


class Part(NamedTuple):
    """A statement that another one takes with it: one round trip, and all or nothing."""

    sql: str
    values: dict[str, Any]


def run_prepared(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement of every task's path, prepared on its connection; return its rows.

    Django's own cursor binds on the client, and asks an idle connection first whether it still
    answers (``CONN_HEALTH_CHECKS``). Here the statement itself finds that out; its caller must do
    it again, on a new connection.
    """
    return statement.run_prepared(conf.alias(), sql, params, prepare=conf.get("PREPARE"))


def taking_along(part: Part | None) -> str:
    """Return *part* as a further query of a ``WITH``."""
    return f", part AS ({part.sql})" if part else ""
