"""A call becomes a row."""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connections
from psycopg.sql import quote

from .. import conf
from .parts import FAR_AWAY, run, run_prepared

#: The columns that a call writes, with their types.
CALL = {
    "task_id": "text", "task": "text", "queue": "text", "priority": "int2", "headers": "text",
    "body": "text", "expires": "timestamptz", "due_at": "timestamptz",
}  # fmt: skip

#: What it writes of a call with a limit (limits.py), which stands in no line before it has a place.
PLACE = {"key": "text", "at_once": "int4", "rate": "float8", "in_order": "bool"}


def _columns(kinds: dict[str, str], form: str) -> dict[str, str]:
    """Return the columns of a call's row with their expressions.

    :param kinds: ``CALL``, and ``PLACE`` of a call with a limit.
    :param form: of a value.
    """
    given = {name: form.format(name=name, kind=kind) for name, kind in kinds.items()}
    due = f"coalesce({given['due_at']}, statement_timestamp())"
    given |= {"due_at": due, "attempt": "0", "clean_attempt": "0", "history": "'[]'", "error": "''"}
    if "key" in kinds:
        given |= {"due_at": FAR_AWAY, "eligible_at": due}
    return given


def _one(values: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the columns of one call's row with their expressions, and the values."""
    form = "%({name})s::{kind}"
    if not (place := values.get("place")):
        return _columns(CALL, form), values
    return _columns(CALL | PLACE, form), {**values, **dict(zip(PLACE, place, strict=True))}


def insert(values: dict[str, Any]) -> int:
    """Write the row of one call; return its id.

    :param values: ``CALL``, and ``place`` (``PLACE``); without ``due_at`` it is ready at once.
    """
    given, values = _one(values)
    sql = f"INSERT INTO durable_task ({', '.join(given)}) VALUES ({', '.join(given.values())})"
    return int(run(f"{sql} RETURNING id", values)[0][0])


def insert_many(rows: Sequence[Sequence[Any]], places: Sequence[Sequence[Any]] = ()) -> None:
    """Write the rows of many calls, each in the order of ``CALL``, by one statement.

    :param places: the ``PLACE`` of each, if they have keys.
    """
    kinds = CALL | PLACE if places else CALL
    if places:
        rows = [[*row, *place] for row, place in zip(rows, places, strict=True)]
    given = _columns(kinds, "{name}")
    # In binary: as text, each quote of the JSON would be escaped.
    arrays = ", ".join(f"%({name})b::{kind}[]" for name, kind in kinds.items())
    run_prepared(
        f"""INSERT INTO durable_task ({", ".join(given)}) SELECT {", ".join(given.values())}
            FROM unnest({arrays}) WITH ORDINALITY AS call({", ".join(kinds)}, number)
            ORDER BY number""",
        dict(zip(kinds, map(list, zip(*rows, strict=True)), strict=True)),
    )


class Once(NamedTuple):
    """What lets a call be written once."""

    #: Of the calls of a task; ``None``: their arguments.
    key: str | None
    #: Also while another one runs, and not only while it waits for its first attempt.
    running: bool
    #: Instead: for so many seconds, whatever becomes of the other one.
    seconds: float | None = None


_EXPIRES = """'"expires": (?:null|"[^"]*")'"""
_WAITS = "started_at IS NULL AND quarantined_at IS NULL"
#: The row of the other call expires before this one: it must not, since it stands for both.
_SOONER = "durable_task.expires < coalesce(%(expires)s::timestamptz, 'infinity')"
_AS_LATE = f"""
    expires = CASE WHEN {_SOONER} THEN %(expires)s::timestamptz ELSE durable_task.expires END,
    headers = CASE WHEN {_SOONER} THEN regexp_replace(durable_task.headers, {_EXPIRES},
        substring(%(headers)s::text from {_EXPIRES})) ELSE durable_task.headers END"""


def insert_once(values: dict[str, Any], once: Once) -> tuple[int | None, str]:
    """Write the row of a call unless there is another; return its id, and the task's.

    Where another one waits, its row is locked until the caller's commit: so no worker begins it
    before, and its task sees what this caller has written. Without a row's id it is not new.
    """
    given, values = _one(values)
    values = {**values, "once": once.key, "running": once.running, "seconds": once.seconds}
    names, what = ", ".join(given), ", ".join(given.values())
    if once.seconds is not None:
        rows = run(
            f"""WITH seen AS (
                    INSERT INTO durable_seen (task, key, task_id, until)
                    VALUES (%(task)s, %(once)s, %(task_id)s,
                        statement_timestamp() + %(seconds)s * interval '1 s')
                    ON CONFLICT (task, key) DO UPDATE
                        SET task_id = excluded.task_id, until = excluded.until
                        WHERE durable_seen.until <= statement_timestamp()
                    RETURNING 1)
                INSERT INTO durable_task ({names}) SELECT {what} FROM seen RETURNING id""",
            values,
        )
        if rows:
            return int(rows[0][0]), values["task_id"]
        other = "SELECT task_id FROM durable_seen WHERE task = %(task)s AND key = %(once)s"
        return None, run(other, values)[0][0]
    insert = f"""INSERT INTO durable_task ({names}, unique_key, unique_running)
        VALUES ({what}, %(once)s, %(running)s)
        ON CONFLICT (task, unique_key, unique_running) WHERE unique_key IS NOT NULL"""
    if not once.running:
        [(row_id, task_id, new)] = run(
            f"""{insert} DO UPDATE SET unique_key = excluded.unique_key, {_AS_LATE}
                RETURNING id, task_id, xmax = 0""",
            values,
        )
        return (row_id if new else None), task_id
    other = "task = %(task)s AND unique_key = %(once)s AND unique_running"
    while True:
        if rows := run(f"{insert} DO NOTHING RETURNING id", values):
            return int(rows[0][0]), values["task_id"]
        found = run(
            f"SELECT task_id, {_WAITS} AND {_SOONER} FROM durable_task WHERE {other}", values
        )
        if found and found[0][1]:
            found = run(
                f"""UPDATE durable_task SET {_AS_LATE}
                    WHERE {other} AND {_WAITS} RETURNING task_id""",
                values,
            )
        if found:  # else it has ended meanwhile
            return None, found[0][0]


def existing(ids: list[int]) -> set[int]:
    """Return which of the rows exist."""
    return {row[0] for row in run("SELECT id FROM durable_task WHERE id = ANY(%s)", [ids])}


def notify(lanes: Iterable[str]) -> None:
    """Wake the workers of *lanes* (``caller/notify.py``); call it outside of a transaction."""
    # No SELECT of pg_notify(): a statement that is planned, and has an answer to read.
    each = (f"NOTIFY {conf.CHANNEL}, {quote(lane)}" for lane in lanes)
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute("; ".join(each))
