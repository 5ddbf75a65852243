"""The one statement that stores a result: upstream's takes two or three, and a lock."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery import states
from django.db import connections

from durable.database.statement import run_prepared

from . import conf

#: The columns of upstream's table that each call writes.
COLUMNS = (
    "task_id", "status", "result", "traceback", "meta", "content_encoding", "content_type",
    "periodic_task_name", "task_name", "task_args", "task_kwargs", "worker",
)  # fmt: skip

_READY = ", ".join(f"'{state}'" for state in sorted(states.READY_STATES))


@cache
def sql(table: str, source: str = "") -> str:
    """Return the statement for *table*.

    ``date_done`` is the time of the last write, as upstream's ``auto_now`` has it, but by the
    database's clock and not by each worker's.

    :param source: it stores nothing unless this, a query's name, has a row.
    """
    updates = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
    return f"""
        INSERT INTO {table} AS kept
            ({", ".join(COLUMNS)}, date_started, date_created, date_done)
        SELECT {", ".join(f"%({name})s" for name in COLUMNS)},
            CASE WHEN %(started)s THEN statement_timestamp() END, statement_timestamp(),
            statement_timestamp()
            {f"FROM {source}" if source else ""}
        ON CONFLICT (task_id) DO UPDATE SET {updates}, date_done = excluded.date_done,
            date_started = coalesce(excluded.date_started, kept.date_started)
        WHERE NOT %(outdated)s OR kept.status NOT IN ({_READY})"""


@cache
def sql_of_many(table: str, varying: tuple[str, ...]) -> str:
    """Return the statement that stores ends of many tasks.

    :param varying: the columns in which these differ, each of which is an array.
    """
    updates = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
    arrays = ", ".join(f"%(all_{name})b::text[]" for name in varying)
    given = ", ".join(name if name in varying else f"%(all_{name})s::text" for name in COLUMNS)
    return f"""
        INSERT INTO {table} AS kept ({", ".join(COLUMNS)}, date_created, date_done)
        SELECT {given}, statement_timestamp(), statement_timestamp()
            FROM unnest({arrays}) AS given({", ".join(varying)})
        ON CONFLICT (task_id) DO UPDATE SET {updates}, date_done = excluded.date_done"""  # noqa: S608


def store(alias: str, table: str, values: dict[str, Any], *, outdated: bool) -> None:
    """Insert or update the row of a task; committed on return, unless inside a transaction.

    :param values: the ``COLUMNS``, and ``started``: whether the task starts with this.
    :param outdated: the values waited so long that the task may be further by now: they don't
        replace its end.
    :raises django.db.Error: nothing, or an unknown part of it, was stored; it can be done again.
    """
    statement = sql(connections[alias].ops.quote_name(table))
    run_prepared(alias, statement, {**values, "outdated": outdated}, prepare=conf.get("PREPARE"))
