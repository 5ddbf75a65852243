"""An attempt begins and ends."""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections

from durable.database.text import storable
from durable.journal import entry
from durable.journal.entry import End

from .. import conf
from ..states import CASE, STATES
from .call import CALL
from .parts import APPEND, BEGUN, NO_WAIT, Part, due, note, run, run_prepared, with_part


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
    return _begun(
        f"""UPDATE durable_task SET attempt = attempt + 1, started_at = clock_timestamp(),
                worker = %(the_worker)s, {BEGUN}
            WHERE {_MINE} AND started_at IS NULL RETURNING attempt""",
        (row_id, attempt, worker, task_id), started, atomic,
    )  # fmt: skip


def confirm(
    row_id: int,
    attempt: int,
    worker: str,
    started: Part | None = None,
    task_id: str | None = None,
    *,
    atomic: bool = False,
) -> int | None:
    """Return the number of an attempt that was begun with others (``take()``), if it still is one.

    The parameters are those of ``begin()``; *attempt* is the number itself.
    """
    return _begun(
        f"SELECT attempt FROM durable_task WHERE {_MINE} AND started_at IS NOT NULL FOR UPDATE",
        (row_id, attempt, worker, task_id), started, atomic,
    )  # fmt: skip


_MINE = """id = %(the_row)s AND attempt = %(the_attempt)s AND worker = %(the_worker)s
    AND task_id = coalesce(%(the_task)s::varchar, task_id)"""


def _begun(
    mine: str, row: tuple[int, int, str, str | None], started: Part | None, atomic: bool
) -> int | None:
    part, values = with_part(started)
    alone = atomic and not connections[conf.alias()].in_atomic_block
    names = ("the_row", "the_attempt", "the_worker", "the_task")
    rows = run_prepared(
        f"WITH mine AS ({mine}){part} SELECT attempt FROM mine{NO_WAIT if alone else ''}",
        {**dict(zip(names, row, strict=True)), **values},
    )
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


def attempts_of(row_id: int, worker: str) -> int:
    """Return how many attempts a row has had that *worker* holds or runs; -1 of any other."""
    sql = "SELECT attempt FROM durable_task WHERE id = %s AND worker = %s"
    rows = run(sql, [row_id, worker])
    return int(rows[0][0]) if rows else -1


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
    kept, ending = entry.part_of_one(end)
    return _delete(attempts, task_id, kept, kept, ending)


def finish_many(
    attempts: Iterable[tuple[int, int]],
    results: Part | None = None,
    ends: Sequence[tuple[int, End | None]] = (),
) -> set[int]:
    """Like ``finish()`` for attempts that have begun, in one round trip with their results.

    :param results: is stored whatever is deleted: the caller rolls back unless all were.
    :param ends: how each has ended, by its row's id, for the journal.
    """
    part, values = with_part(results)
    kept, ending = entry.part_of_many(ends)
    return _delete(attempts, None, kept, part + kept, {**values, **ending})


def _delete(
    attempts: Iterable[tuple[int, int]], task_id: str | None, kept: str, parts: str,
    values: dict[str, Any],
) -> set[int]:  # fmt: skip
    """Delete rows in the order of their ids, so that two that do so can't wait for each other.

    :param kept: what writes the journal; *parts* are all that go into the same statement.
    """
    pairs = sorted(attempts)
    rows = run_prepared(
        f"""WITH locked AS (
                SELECT task.id FROM durable_task task
                JOIN unnest(%(the_ids)s::bigint[], %(the_attempts)s::int[]) AS s(id, attempt)
                    ON task.id = s.id AND task.attempt = s.attempt
                WHERE task.task_id = coalesce(%(the_task)s::varchar, task.task_id)
                ORDER BY task.id FOR UPDATE OF task),
            mine AS (
                DELETE FROM durable_task task USING locked WHERE task.id = locked.id
                RETURNING {entry.returning(kept)}){parts}
            SELECT id FROM mine""",
        {
            "the_ids": [row[0] for row in pairs], "the_attempts": [row[1] for row in pairs],
            "the_task": task_id, **values,
        },
    )  # fmt: skip
    return {row[0] for row in rows}


def finish_one(
    row_id: int, attempt: int, result: Part | None = None, end: End | None = None
) -> bool:
    """Like ``finish()`` for one attempt, in one round trip with its result."""
    part, values = with_part(result)
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
            f"""UPDATE durable_task SET history = {APPEND}, worker = NULL, started_at = NULL,
                    clean_attempt = attempt, {due("%(due_at)s::timestamptz")}, error = %(why)s,
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
    history = APPEND.replace("history", "task.history").replace("started_at", "task.started_at")
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
        f"""UPDATE durable_task SET history = {APPEND}, error = %(why)s, worker = NULL,
                clean_attempt = CASE WHEN started_at IS NULL THEN clean_attempt ELSE attempt END,
                started_at = NULL, {due("clock_timestamp() + %(pause)s * interval '1 s'")}
            WHERE id = %(id)s""",
        {"id": row_id, "why": storable(why), "note": note(why), "pause": seconds},
    )


def quarantine(row_id: int, why: str) -> None:
    """Leave a locked row to a person; an attempt of it ends in order by that."""
    run(
        f"""UPDATE durable_task SET history = {APPEND}, error = %(why)s, worker = NULL,
                clean_attempt = CASE WHEN started_at IS NULL THEN clean_attempt ELSE attempt END,
                started_at = NULL, quarantined_at = clock_timestamp(), {BEGUN}
            WHERE id = %(id)s""",
        {"id": row_id, "why": storable(why), "note": note(why)},
    )


def requeue(ids: list[int], why: str) -> int:
    """Make quarantined rows ready again, with all attempts before them; return how many."""
    return len(
        run(
            f"""UPDATE durable_task SET history = {APPEND}, quarantined_at = NULL,
                    clean_attempt = attempt, {due("clock_timestamp()", keeps="FALSE")}, error = ''
                WHERE id IN (SELECT id FROM durable_task
                    WHERE id = ANY(%(ids)s) AND quarantined_at IS NOT NULL ORDER BY id FOR UPDATE)
                RETURNING id""",
            {"ids": ids, "note": note(why)},
        )
    )
