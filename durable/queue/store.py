"""Every statement on the rows: no other file names their table.

Plain SQL: each statement is atomic in itself, this is the path of every task, and what a state is
stands in its predicate (states.py). Statements that wait for the locks of several rows take them in
the order of their ids, so that two never wait for each other in a circle; the others skip what is
locked.
"""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections
from psycopg.types.json import Jsonb

from durable.database import statement
from durable.database.text import storable
from durable.journal import entry
from durable.journal.entry import End

from . import conf
from .states import CASE, FAR, STATES


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


def _with(part: Part | None) -> tuple[str, dict[str, Any]]:
    return (f", part AS ({part.sql})", part.values) if part else ("", {})


# --- What has happened to a row ------------------------------------------------------------------

#: Appends to the history, with the time and the attempt, and keeps it from growing without end.
_APPEND = """CASE WHEN jsonb_array_length(history) >= 50 THEN history - 0 ELSE history END
    || jsonb_build_array(%(note)s::jsonb || jsonb_build_object(
        'at', clock_timestamp(), 'attempt', attempt, 'worker', worker, 'since', started_at))"""


def note(what: str) -> Jsonb:
    """Return one line of a row's history."""
    return Jsonb({"what": storable(what)})


# --- Call ----------------------------------------------------------------------------------------

#: The columns that a call writes, with their types.
CALL = {
    "task_id": "text", "task": "text", "queue": "text", "priority": "int2", "headers": "text",
    "body": "text", "expires": "timestamptz", "due_at": "timestamptz",
}  # fmt: skip

_INSERT = f"INSERT INTO durable_task ({', '.join(CALL)}, attempt, clean_attempt, history, error)"

#: What it writes of a call with a limit (limits.py), which stands in no line before it has a place.
PLACE = {"key": "text", "at_once": "int4", "rate": "float8", "in_order": "bool"}
_FAR = f"'{FAR.isoformat()}'::timestamptz"


def _due(moment: str, *, keeps: str = "in_order") -> str:
    """Return what makes a row due at *moment*; one with a key needs a place anew, unless *keeps*.

    Its ``due_at`` is far away then, which keeps it out of every line.
    """
    free = f"key IS NULL OR {keeps}"
    return (
        f"due_at = CASE WHEN {free} THEN {moment} ELSE {_FAR} END, "
        f"eligible_at = CASE WHEN {free} THEN NULL ELSE {moment} END"
    )


def _columns(values: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the columns of a call's row with their expressions, and the values."""
    due = "coalesce(%(due_at)s::timestamptz, statement_timestamp())"
    given = {name: f"%({name})s::{kind}" for name, kind in CALL.items()}
    given |= {"due_at": due, "attempt": "0", "clean_attempt": "0", "history": "'[]'", "error": "''"}
    if values.get("place"):
        given |= {name: f"%({name})s::{kind}" for name, kind in PLACE.items()}
        given |= {"due_at": _FAR, "eligible_at": due}
        values = {**values, **dict(zip(PLACE, values["place"], strict=True))}
    return given, values


def insert(values: dict[str, Any]) -> int:
    """Write the row of one call; return its id.

    :param values: ``CALL``, and ``place`` (``PLACE``); without ``due_at`` it is ready at once.
    """
    given, values = _columns(values)
    sql = f"INSERT INTO durable_task ({', '.join(given)}) VALUES ({', '.join(given.values())})"
    return int(run(f"{sql} RETURNING id", values)[0][0])


def insert_many(rows: Sequence[Sequence[Any]], places: Sequence[Sequence[Any]] = ()) -> None:
    """Write the rows of many calls, each in the order of ``CALL``, by one statement.

    :param places: the ``PLACE`` of each, if they have keys.
    """
    if places:
        _insert_limited([[*row, *place] for row, place in zip(rows, places, strict=True)])
        return
    # In binary: as text, each quote of the JSON would be escaped.
    arrays = ", ".join(f"%({name})b::{kind}[]" for name, kind in CALL.items())
    columns = ", ".join(
        "coalesce(due_at, statement_timestamp())" if name == "due_at" else name for name in CALL
    )
    run_prepared(
        f"""{_INSERT} SELECT {columns}, 0, 0, '[]', ''
            FROM unnest({arrays}) WITH ORDINALITY AS call({", ".join(CALL)}, number)
            ORDER BY number""",
        dict(zip(CALL, map(list, zip(*rows, strict=True)), strict=True)),
    )


def _insert_limited(rows: Sequence[Sequence[Any]]) -> None:
    kinds = {**CALL, **PLACE}
    arrays = ", ".join(f"%({name})b::{kind}[]" for name, kind in kinds.items())
    columns = ", ".join(_FAR if name == "due_at" else name for name in kinds)
    run_prepared(
        f"""INSERT INTO durable_task ({", ".join(kinds)}, eligible_at, attempt, clean_attempt,
                history, error)
            SELECT {columns}, coalesce(due_at, statement_timestamp()), 0, 0, '[]', ''
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


def insert_once(values: dict[str, Any], once: Once) -> tuple[int | None, str]:
    """Write the row of a call unless there is another; return its id, and the task's.

    Where another one waits, its row is locked until the caller's commit: so no worker begins it
    before, and its task sees what this caller has written. Without a row's id it is not new.
    """
    given, values = _columns(values)
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
            f"""{insert} DO UPDATE SET unique_key = excluded.unique_key
                RETURNING id, task_id, xmax = 0""",
            values,
        )
        return (row_id if new else None), task_id
    while True:
        if rows := run(f"{insert} DO NOTHING RETURNING id", values):
            return int(rows[0][0]), values["task_id"]
        rows = run(
            """SELECT task_id FROM durable_task
               WHERE task = %(task)s AND unique_key = %(once)s AND unique_running""",
            values,
        )
        if rows:  # else it has ended meanwhile
            return None, rows[0][0]


#: With its first attempt a call waits no longer: another one may be written from then on.
_BEGUN = "unique_key = CASE WHEN unique_running THEN unique_key END"


def existing(ids: list[int]) -> set[int]:
    """Return which of the rows exist."""
    return {row[0] for row in run("SELECT id FROM durable_task WHERE id = ANY(%s)", [ids])}


def notify(lanes: Iterable[str]) -> None:
    """Wake the workers of *lanes* (``caller/notify.py``); call it outside of a transaction."""
    run("SELECT pg_notify(%s, lane) FROM unnest(%s::text[]) AS lane", [conf.CHANNEL, list(lanes)])


# --- Hold ----------------------------------------------------------------------------------------


class Held(NamedTuple):
    """A row that a worker holds, with all that its message needs."""

    id: int
    attempt: int
    clean_attempt: int
    task_id: str
    task: str
    queue: str
    priority: int
    headers: str
    body: str
    redelivered: bool
    due_at: datetime
    #: Of its limit (limits.py).
    key: str | None = None


class Lane(NamedTuple):
    """Where rows stand in line: a queue at one priority, from the time *since* on."""

    queue: str
    priority: int
    since: datetime


_FREE = "worker IS NULL AND quarantined_at IS NULL"

#: Of no task that is paused. PostgreSQL takes half of all rows to pass ``NOT IN``, and so goes on
#: to read a lane in its order; it reads the table of pauses once for a statement.
NOT_PAUSED = "task NOT IN (SELECT name FROM durable_pause WHERE kind = 'task')"

_PICK = f"""WITH picked AS (
    SELECT free.id FROM (
        SELECT * FROM unnest(%(queues)s::text[], %(priorities)s::int2[], %(since)s::timestamptz[])
            AS given(queue, priority, since)
        WHERE NOT EXISTS (
            SELECT 1 FROM durable_pause WHERE kind = 'queue' AND name = given.queue)) AS lane,
    LATERAL (
        SELECT id, due_at FROM durable_task task
        WHERE task.queue = lane.queue AND task.priority = lane.priority
            AND due_at >= lane.since AND due_at <= statement_timestamp() AND {_FREE}
            AND task.{NOT_PAUSED}
            AND (expires IS NULL OR expires > statement_timestamp())
        ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS free
    ORDER BY lane.priority, free.due_at LIMIT %(limit)s)"""

_HELD = """task.id, attempt, clean_attempt, task_id, task, queue, priority, headers, body,
    attempt > 0 AND coalesce(history -> -1 ->> 'what', '') NOT LIKE 'retry%%', due_at, key"""


def hold(worker: str, lanes: Sequence[Lane], limit: int) -> list[Held]:
    """Take up to *limit* ready rows in hand, by priority and age; no attempt of theirs begins.

    *since* keeps the search off the dead rows that a long transaction of somebody else leaves: an
    index holds them until it is vacuumed, and each search would walk over all of them.
    """
    return _picked("worker = %(worker)s", worker, lanes, limit)


def take(worker: str, lanes: Sequence[Lane], limit: int) -> list[Held]:
    """Begin an attempt of each of up to *limit* ready rows, as ``hold()`` finds them.

    It doesn't wait for the disk; see ``begin()``.
    """
    begun = f"worker = %(worker)s, attempt = attempt + 1, started_at = clock_timestamp(), {_BEGUN}"
    return _picked(begun, worker, lanes, limit, _NO_WAIT)


#: Beside a query, lets its own transaction be committed without a wait for the disk.
_NO_WAIT = ", (SELECT set_config('synchronous_commit', 'off', true)) AS no_wait"


def _picked(
    change: str, worker: str, lanes: Sequence[Lane], limit: int, beside: str = ""
) -> list[Held]:
    rows = run_prepared(
        f"""{_PICK} UPDATE durable_task task SET {change} FROM picked{beside}
            WHERE task.id = picked.id RETURNING {_HELD}""",
        {
            "worker": worker, "limit": limit, "queues": [lane.queue for lane in lanes],
            "priorities": [lane.priority for lane in lanes],
            "since": [lane.since for lane in lanes],
        },
    )  # fmt: skip
    return sorted((Held(*row) for row in rows), key=lambda row: (row.priority, row.due_at, row.id))


def lanes(queues: Sequence[str]) -> list[Lane]:
    """Return the lanes of *queues* in which free rows wait, each from its first row or now on.

    A loose scan: as many steps in the index as there are lanes, however long they are; only rows of
    a paused task at the head of one are walked over.
    """
    free = f"{_FREE} AND {NOT_PAUSED}"
    first = f"SELECT queue, priority, due_at FROM durable_task WHERE {free}"
    order = "ORDER BY queue, priority, due_at LIMIT 1"
    found = run(
        f"""WITH RECURSIVE lane AS (
                SELECT first.* FROM unnest(%(queues)s::text[]) AS name,
                    LATERAL ({first} AND queue = name {order}) AS first
                UNION ALL
                SELECT following.* FROM lane, LATERAL (
                    {first} AND queue = lane.queue AND priority > lane.priority {order}
                ) AS following)
            SELECT queue, priority, least(due_at, statement_timestamp()) FROM lane""",
        {"queues": list(queues)},
    )
    return [Lane(*row) for row in found]


# --- Begin and end -------------------------------------------------------------------------------


def begin(
    row_id: int,
    attempt: int,
    worker: str,
    started: Part | None = None,
    task_id: str | None = None,
    *,
    atomic: bool = False,
) -> int | None:
    """Begin an attempt of a row that *worker* holds; return its number, the fencing token.

    ``None``: it is finished, was released, runs, or was begun by another copy of its message.

    :param attempt: how many it had, as its message says.
    :param started: stores that the task runs.
    :param atomic: the whole attempt is one transaction. If the server crashes before this is on the
        disk, that transaction is lost as well: so there is nothing to wait for.
    """
    part, values = _with(started)
    alone = atomic and not connections[conf.alias()].in_atomic_block
    rows = run_prepared(
        f"""WITH mine AS (
                UPDATE durable_task SET attempt = attempt + 1, started_at = clock_timestamp(),
                    worker = %(the_worker)s, {_BEGUN}
                WHERE id = %(the_row)s AND attempt = %(the_attempt)s AND started_at IS NULL
                    AND worker = %(the_worker)s
                    AND task_id = coalesce(%(the_task)s::varchar, task_id)
                RETURNING attempt){part}
            SELECT attempt FROM mine{_NO_WAIT if alone else ""}""",
        {
            "the_worker": worker, "the_row": row_id, "the_attempt": attempt, "the_task": task_id,
            **values,
        },
    )  # fmt: skip
    return int(rows[0][0]) if rows else None


def hold_one(row_id: int, worker: str) -> int:
    """Take one row in hand for its caller, who runs it itself; return its attempts, -1 if gone."""
    rows = run(
        """UPDATE durable_task SET worker = %s, eligible_at = NULL,
               due_at = coalesce(eligible_at, due_at)
           WHERE id = %s AND started_at IS NULL AND quarantined_at IS NULL RETURNING attempt""",
        [worker, row_id],
    )
    return int(rows[0][0]) if rows else -1


def drop(row_id: int, worker: str, end: End | None = None) -> None:
    """Delete a row that *worker* holds or runs."""
    kept, ending = entry.part_of_one(end)
    run(
        f"""WITH mine AS (
                DELETE FROM durable_task task WHERE id = %(the_row)s AND worker = %(the_worker)s
                RETURNING {entry.returning(kept)}){kept}
            SELECT id FROM mine""",
        {"the_row": row_id, "the_worker": worker, **ending},
    )


def state(row_id: int) -> tuple[str, int] | None:
    """Return the state of a row and its attempts, if it is there."""
    rows = run(f"SELECT {CASE}, attempt FROM durable_task WHERE id = %s", [row_id])
    return (rows[0][0], rows[0][1]) if rows else None


def is_newest(row_id: int, attempt: int) -> bool:
    """Return whether this attempt is still the row's newest one."""
    return bool(run("SELECT 1 FROM durable_task WHERE id = %s AND attempt = %s", [row_id, attempt]))


def finish(
    attempts: Iterable[tuple[int, int]], task_id: str | None = None, end: End | None = None
) -> set[int]:
    """Delete the rows of *attempts*, ``(id, attempt)`` each, and return the ids that were deleted.

    Call it in the transaction that holds their effects. A row that isn't returned was taken over by
    a later attempt, or finished by one: its effects must be rolled back.

    :param task_id: of an attempt that has not begun: what its message says.
    :param end: how they have ended, for the journal.
    """
    pairs = sorted(attempts)
    kept, ending = entry.part_of_one(end)
    rows = run_prepared(
        f"""WITH locked AS (
                SELECT e.id FROM durable_task e
                JOIN unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS s(id, attempt)
                    ON e.id = s.id AND e.attempt = s.attempt
                WHERE e.task_id = coalesce(%(task_id)s::varchar, e.task_id)
                ORDER BY e.id FOR UPDATE OF e),
            mine AS (
                DELETE FROM durable_task task USING locked WHERE task.id = locked.id
                RETURNING {entry.returning(kept)}){kept}
            SELECT id FROM mine""",
        {
            "ids": [pair[0] for pair in pairs], "attempts": [pair[1] for pair in pairs],
            "task_id": task_id, **ending,
        },
    )  # fmt: skip
    return {row[0] for row in rows}


def finish_many(
    attempts: Iterable[tuple[int, int]],
    results: Part | None = None,
    ends: Sequence[tuple[int, End | None]] = (),
) -> set[int]:
    """Like ``finish()`` for attempts that have begun, in one round trip with their results.

    :param results: is stored whatever is deleted: the caller rolls back unless all were.
    :param ends: how each has ended, by its row's id, for the journal.
    """
    pairs = sorted(attempts)
    part, values = _with(results)
    kept, ending = entry.part_of_many(ends)
    rows = run_prepared(
        f"""WITH locked AS (
                SELECT task.id FROM durable_task task
                JOIN unnest(%(the_ids)s::bigint[], %(the_attempts)s::int[]) AS s(id, attempt)
                    ON task.id = s.id AND task.attempt = s.attempt
                ORDER BY task.id FOR UPDATE OF task),
            mine AS (
                DELETE FROM durable_task task USING locked WHERE task.id = locked.id
                RETURNING {entry.returning(kept)}){part}{kept}
            SELECT id FROM mine""",
        {
            "the_ids": [row[0] for row in pairs], "the_attempts": [row[1] for row in pairs],
            **values, **ending,
        },
    )  # fmt: skip
    return {row[0] for row in rows}


def finish_one(
    row_id: int, attempt: int, result: Part | None = None, end: End | None = None
) -> bool:
    """Like ``finish()`` for one attempt, in one round trip with its result."""
    part, values = _with(result)
    kept, ending = entry.part_of_one(end)
    return bool(
        run_prepared(
            f"""WITH mine AS (
                    DELETE FROM durable_task task
                    WHERE id = %(the_row)s AND attempt = %(the_attempt)s
                    RETURNING {entry.returning(kept)}){part}{kept}
                SELECT id FROM mine""",
            {"the_row": row_id, "the_attempt": attempt, **values, **ending},
        )
    )


def reschedule(
    row_id: int, attempt: int, due_at: datetime, why: str, call: dict[str, Any] | None = None
) -> bool:
    """End an attempt in order: the next one may begin at *due_at*.

    :param call: the columns of the call that this is to be from now (``CALL``); a queue or a
        priority of ``None`` stays as it is.
    """
    again = call or dict.fromkeys(CALL)
    return bool(
        run(
            f"""UPDATE durable_task SET history = {_APPEND}, worker = NULL, started_at = NULL,
                    clean_attempt = attempt, {_due("%(due_at)s::timestamptz")}, error = %(why)s,
                    expires = CASE WHEN %(changed)s THEN %(expires)s ELSE expires END,
                    body = coalesce(%(body)s, body), headers = coalesce(%(headers)s, headers),
                    queue = coalesce(%(queue)s, queue), priority = coalesce(%(priority)s, priority)
                WHERE id = %(id)s AND attempt = %(attempt)s RETURNING id""",
            {
                **again, "changed": call is not None, "note": note(why), "due_at": due_at,
                "why": storable(why), "id": row_id, "attempt": attempt,
            },
        )
    )  # fmt: skip


class Released(NamedTuple):
    """A row that a worker no longer holds or runs."""

    id: int
    task_id: str
    task: str
    quarantined: bool
    was_running: bool


_POISON = (
    "was.started_at IS NOT NULL AND NOT %(clean)s AND task.attempt - task.clean_attempt >= %(most)s"
)


def release(
    where: str, params: dict[str, Any], why: str = "", *, clean: bool = False
) -> list[Released]:
    """Let go of the rows that *where* finds: one that was held is ready again, in its old place.

    An attempt of one that was running has ended: the next one may begin, or it is quarantined.

    :param clean: it ended in order, and doesn't count towards the quarantine.
    """
    history = _APPEND.replace("history", "task.history").replace("started_at", "task.started_at")
    rows = run(
        f"""UPDATE durable_task task SET worker = NULL, started_at = NULL,
                history = CASE WHEN was.started_at IS NULL THEN task.history ELSE {history} END,
                clean_attempt = CASE WHEN was.started_at IS NOT NULL AND %(clean)s
                    THEN task.attempt ELSE task.clean_attempt END,
                due_at = CASE WHEN was.started_at IS NULL THEN due_at ELSE clock_timestamp() END,
                error = CASE WHEN {_POISON} THEN %(why)s ELSE error END,
                quarantined_at = CASE WHEN {_POISON} THEN clock_timestamp() END
            FROM (SELECT id, started_at FROM durable_task WHERE worker IS NOT NULL AND {where}
                ORDER BY id FOR UPDATE SKIP LOCKED) AS was
            WHERE task.id = was.id
            RETURNING task.id, task_id, task.task, quarantined_at IS NOT NULL,
                was.started_at IS NOT NULL""",
        {
            "note": note(why), "why": storable(why), "clean": clean,
            "most": conf.get("MAX_ATTEMPTS"), **params,
        },
    )  # fmt: skip
    return [Released(*row) for row in rows]


# --- Wait longer, or quarantine ------------------------------------------------------------------


def locked(row_id: int, attempt: int, state: str) -> dict[str, Any] | None:
    """Lock a row that is in *state* with so many attempts; return what decides about it."""
    names = ("task_id", "task", "queue", "history", "worker")
    rows = run(
        f"""SELECT task_id, task, queue, history::text, worker FROM durable_task
            WHERE id = %s AND attempt = %s AND {STATES[state].sql} FOR UPDATE""",
        [row_id, attempt],
    )
    return dict(zip(names, rows[0], strict=True)) if rows else None


def postpone(row_id: int, why: str, seconds: float) -> None:
    """Let a locked row be ready again after a pause; an attempt of it ends in order by that."""
    run(
        f"""UPDATE durable_task SET history = {_APPEND}, error = %(why)s, worker = NULL,
                clean_attempt = CASE WHEN started_at IS NULL THEN clean_attempt ELSE attempt END,
                started_at = NULL, {_due("clock_timestamp() + %(pause)s * interval '1 s'")}
            WHERE id = %(id)s""",
        {"id": row_id, "why": storable(why), "note": note(why), "pause": seconds},
    )


def quarantine(row_id: int, why: str) -> None:
    """Leave a locked row to a person; an attempt of it ends in order by that."""
    run(
        f"""UPDATE durable_task SET history = {_APPEND}, error = %(why)s, worker = NULL,
                clean_attempt = CASE WHEN started_at IS NULL THEN clean_attempt ELSE attempt END,
                started_at = NULL, quarantined_at = clock_timestamp(), {_BEGUN}
            WHERE id = %(id)s""",
        {"id": row_id, "why": storable(why), "note": note(why)},
    )


def requeue(ids: list[int], why: str) -> int:
    """Make quarantined rows ready again, with all attempts before them; return how many."""
    return len(
        run(
            f"""UPDATE durable_task SET history = {_APPEND}, quarantined_at = NULL,
                    clean_attempt = attempt, {_due("clock_timestamp()", keeps="FALSE")}, error = ''
                WHERE id IN (SELECT id FROM durable_task
                    WHERE id = ANY(%(ids)s) AND quarantined_at IS NOT NULL ORDER BY id FOR UPDATE)
                RETURNING id""",
            {"ids": ids, "note": note(why)},
        )
    )


# --- Without a worker ----------------------------------------------------------------------------


def lock_idle(ids: list[int]) -> list[int]:
    """Lock those of the rows that no worker runs; one that is held is taken from its worker."""
    rows = run(
        """SELECT id FROM durable_task WHERE id = ANY(%s) AND started_at IS NULL
           ORDER BY id FOR UPDATE""",
        [ids],
    )
    return [row[0] for row in rows]


def lock_waiting(task_ids: Sequence[str]) -> list[int]:
    """Lock the rows of the tasks *task_ids* that no worker runs and that aren't in quarantine."""
    rows = run(
        """SELECT id FROM durable_task WHERE task_id = ANY(%s) AND started_at IS NULL
           AND quarantined_at IS NULL ORDER BY id FOR UPDATE""",
        [list(task_ids)],
    )
    return [row[0] for row in rows]


def running(ids: list[int]) -> int:
    """Return how many of the rows run now."""
    sql = "SELECT count(*) FROM durable_task WHERE id = ANY(%s) AND started_at IS NOT NULL"
    return int(run(sql, [ids])[0][0])


def lock_expired(limit: int) -> list[int]:
    """Lock rows that expired before an attempt of theirs began, and that nothing else locks."""
    rows = run(
        """SELECT id FROM durable_task WHERE expires < statement_timestamp()
           AND started_at IS NULL AND quarantined_at IS NULL
           ORDER BY expires LIMIT %s FOR UPDATE SKIP LOCKED""",
        [limit],
    )
    return [row[0] for row in rows]


def delete(ids: list[int], ends: Sequence[tuple[int, End | None]] = ()) -> None:
    """Delete rows that the caller has locked.

    :param ends: how each has ended, by its row's id, for the journal.
    """
    kept, ending = entry.part_of_many(ends)
    run(
        f"""WITH mine AS (DELETE FROM durable_task task WHERE id = ANY(%(the_ids)s)
                RETURNING {entry.returning(kept)}){kept}
            SELECT id FROM mine""",
        {"the_ids": ids, **ending},
    )


# --- Workers -------------------------------------------------------------------------------------


class Orders(NamedTuple):
    """What people want of a worker, since it began."""

    #: Who wants it to stop; empty: none does.
    stop: str
    #: Rows whose tasks were cancelled while it ran them.
    cancelled: list[int]


def beat(worker: str, hostname: str, pid: int, slots: int, queues: Iterable[str] = ()) -> Orders:
    """Write a worker's sign of life; return what is wanted of it.

    :param queues: those that it takes from.
    """
    [row] = run(
        """INSERT INTO durable_worker (id, hostname, pid, slots, queues, version, cancelled)
           VALUES (%s, %s, %s, %s, %s, %s, '{}')
           ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), slots = excluded.slots,
               queues = excluded.queues
           RETURNING stop_by, cancelled""",
        [worker, hostname, pid, slots, ",".join(sorted(queues)), entry.version()],
    )
    return Orders(*row)


def order_stop(worker: str, who: str) -> bool:
    """Want a worker to stop; return whether it is there, and was not told before."""
    sql = "UPDATE durable_worker SET stop_by = %s WHERE id = %s AND stop_by = '' RETURNING id"
    return bool(run(sql, [who, worker]))


def order_end(row_id: int, worker: str) -> None:
    """Want a worker to end the process that runs a row; *worker* as it stands in the row."""
    run(
        """UPDATE durable_worker SET cancelled = cancelled || %s::bigint
           WHERE id = split_part(%s, '#', 1)""",
        [row_id, worker],
    )


def sign_off(worker: str) -> None:
    """Forget a worker that stops."""
    run("DELETE FROM durable_worker WHERE id = %s", [worker])


def of_worker(worker: str) -> list[tuple[int, int]]:
    """Return id and attempt of each row that *worker* holds or runs."""
    rows = run("SELECT id, attempt FROM durable_task WHERE worker = %s", [worker])
    return [(row[0], row[1]) for row in rows]


def forget_dead_workers() -> None:
    """Delete the workers that have given no sign of life for ``DEAD_AFTER`` seconds."""
    run(
        "DELETE FROM durable_worker WHERE seen_at < clock_timestamp() - %s * interval '1 s'",
        [conf.get("DEAD_AFTER")],
    )


#: For ``release()``: rows of workers that are not there. A process of a batch worker stands in them
#: as the worker, `#` and its number.
ORPHANED = """NOT EXISTS (
        SELECT 1 FROM durable_worker w WHERE w.id = split_part(durable_task.worker, '#', 1))
    AND coalesce(started_at, '-infinity') < clock_timestamp() - %(age)s * interval '1 s'"""


# --- What is to be seen --------------------------------------------------------------------------


_ALIVE = "seen_at > clock_timestamp() - %s * interval '1 s'"


def workload() -> list[tuple[str, int, int, int]]:
    """Return each worker's host name, rows it runs, seconds they have run, rows it holds."""
    rows = run(
        f"""SELECT hostname, count(task.started_at),
                coalesce(extract(epoch FROM sum(clock_timestamp() - task.started_at)), 0)::int,
                count(task.id) - count(task.started_at)
            FROM durable_worker AS worker LEFT JOIN durable_task AS task
                ON split_part(task.worker, '#', 1) = worker.id
            WHERE {_ALIVE} GROUP BY worker.id ORDER BY hostname""",
        [conf.get("DEAD_AFTER")],
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


#: A row's arguments; of a text that ``jsonb`` can't hold there is nothing to see.
_CALL = r"CASE WHEN body NOT LIKE '%%\\u0000%%' THEN body::jsonb END"


def shapes() -> list[tuple[str, int | None, list[str], int]]:
    """Return the calls that wait: task, number of arguments, names of the named, number of rows.

    Of arguments that can't be seen the number is ``None``.
    """
    rows = run(
        f"""SELECT task, count, names, count(*) FROM (
                SELECT task, jsonb_array_length(call -> 0) AS count,
                    ARRAY(SELECT jsonb_object_keys(call -> 1) ORDER BY 1) AS names
                FROM (SELECT task, {_CALL} AS call FROM durable_task) AS read) AS shape
            GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def following() -> list[tuple[str, int]]:
    """Return the tasks that follow rows (a chain's next, ``link=``, a chord's body), with rows."""
    rows = run(
        f"""SELECT next.task #>> '{{}}', count(DISTINCT id) FROM durable_task,
                jsonb_path_query(({_CALL}) -> 2,
                    '$.** ? (exists(@.task) && exists(@.subtask_type)).task') AS next(task)
            WHERE body LIKE '%%subtask_type%%' GROUP BY 1 ORDER BY 1"""
    )
    return [(row[0], row[1]) for row in rows]
