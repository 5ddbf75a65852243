"""Parts that several statements on the rows share, and how one is run."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections
from psycopg.types.json import Jsonb

from durable.database import statement
from durable.database.text import storable

from .. import conf
from ..states import FAR


def run(sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
    """Run one statement on the rows' database; return its rows."""
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def run_prepared(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement of every task's path, prepared on its connection; return its rows.

    Django's own cursor binds on the client, and asks an idle connection first whether it still
    answers (``CONN_HEALTH_CHECKS``). Here the statement itself finds that out; its caller must do
    it again, on a new connection.
    """
    return statement.run_prepared(conf.alias(), sql, params, prepare=conf.get("PREPARE"))


class Part(NamedTuple):
    """A statement that another one takes with it: one round trip, and all or nothing.

    It does nothing unless the query ``mine`` of that statement has a row.
    """

    sql: str
    values: dict[str, Any]


def with_part(part: Part | None) -> tuple[str, dict[str, Any]]:
    """Return what stands beside the query ``mine``, and its values."""
    return (f", part AS ({part.sql})", part.values) if part else ("", {})


#: Appends to the history, with the time and the attempt, and keeps it from growing without end.
APPEND = """CASE WHEN jsonb_array_length(history) >= 50 THEN history - 0 ELSE history END
    || jsonb_build_array(%(note)s::jsonb || jsonb_build_object(
        'at', clock_timestamp(), 'attempt', attempt, 'worker', worker, 'since', started_at))"""


def note(what: str) -> Jsonb:
    """Return one line of a row's history."""
    return Jsonb({"what": storable(what)})


#: The time of what stands in no line, as SQL.
FAR_AWAY = f"'{FAR.isoformat()}'::timestamptz"


def due(moment: str, *, keeps: str = "in_order AND eligible_at IS NULL") -> str:
    """Return what makes a row due at *moment*; one with a key needs a place anew, unless *keeps*.

    One in order keeps the place that it has; without one, another row may have its turn by now.

    Its ``due_at`` is far away then, which keeps it out of every line.
    """
    free = f"key IS NULL OR {keeps}"
    return (
        f"due_at = CASE WHEN {free} THEN {moment} ELSE {FAR_AWAY} END, "
        f"eligible_at = CASE WHEN {free} THEN NULL ELSE {moment} END"
    )


#: With its first attempt a call waits no longer: another one may be written from then on.
BEGUN = "unique_key = CASE WHEN unique_running THEN unique_key END"

#: Of no task that is paused. PostgreSQL takes half of all rows to pass ``NOT IN``, and so goes on
#: to read a lane in its order; it reads the table of pauses once for a statement.
NOT_PAUSED = "task NOT IN (SELECT name FROM durable_pause WHERE kind = 'task')"
#: Of a task that the worker knows; of any, without a list. In a CASE for the same reason: of a
#: plain ``= ANY`` PostgreSQL may expect so few rows that it sorts the whole lane.
KNOWN = "CASE WHEN %(known)s::text[] IS NULL THEN TRUE ELSE task = ANY(%(known)s::text[]) END"

#: Beside a query, lets its own transaction be committed without a wait for the disk.
NO_WAIT = ", (SELECT set_config('synchronous_commit', 'off', true)) AS no_wait"
