"""Each statement says in a comment which request or task it is of (SQL_COMMENTS).

In front: PostgreSQL cuts off the end of long ones, in `pg_stat_activity` and in its log::

    /* request_id=8f0c… task_id=61b2… task=apps.shop.tasks.charge */ SELECT …

Statements that are prepared go without: each would be another one, which is never run again. Those
are the queue's own, and all of a connection that has ``prepare_threshold`` in its OPTIONS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created
from structlog.contextvars import get_contextvars

from .context import sane

#: The ids of a line of the log that a statement has too.
NAMES = ("request_id", "task_id", "task")


def install() -> None:
    """Write comments from here on."""
    connection_created.connect(_watch)
    for connection in connections.all(initialized_only=True):
        _watch(connection)


def _watch(connection: Any, **kwargs: Any) -> None:
    if _execute not in connection.execute_wrappers:
        connection.execute_wrappers.append(_execute)


def _execute(execute: Callable[..., Any], sql: Any, params: Any, many: bool, about: Any) -> Any:
    raw = about["connection"].connection
    prepared = getattr(raw, "prepare_threshold", None) is not None
    if isinstance(sql, str) and not prepared and (said := comment()):
        sql = f"{said} {sql}"
    return execute(sql, params, many, about)


def comment() -> str:
    """Return the comment for the ids of this moment; empty without any.

    What ``sane()`` lets through can't end it, and has no % that would want a value.
    """
    ids = get_contextvars()
    known = [f"{name}={ids[name]}" for name in NAMES if sane(ids.get(name))]
    return f"/* {' '.join(known)} */" if known else ""
