"""Every statement on the rows, in one place. Each is one short transaction or part of the caller's.

Plain SQL: each statement must be atomic in itself, and this is the path of every task.
"""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from durable.database.text import storable

from . import conf
from .sql import Part, run_prepared, taking_along
from .sql import run as run  # for the others: here is where statements are looked for
from .tries import APPEND, note


class Row(NamedTuple):
    """What is needed to send a row; *sends* and *starts* prove later that it hasn't moved on."""

    id: int
    task_id: str
    task: str
    queue: str
    priority: int
    body: str
    sends: int
    starts: int
    at: float  # the database's time before it is sent, in seconds


ROW = (
    "id, task_id, task, queue, priority, body, sends, starts,"
    " extract(epoch FROM clock_timestamp())::float8"
)

#: What makes a row "sent, and not started as far as anyone knows".
WAITING = "due_at IS NULL AND worker IS NULL AND quarantined_at IS NULL"


def insert(values: dict[str, Any]) -> Row:
    """Write a new row. *values*: ``task_id, task, queue, priority, body, expires``, the time
    ``due_at`` or the seconds until then ``due_in``, and ``sends``, 1 if the caller publishes it.
    """
    return Row(
        *run(
            f"""INSERT INTO durable_task (task_id, task, queue, priority, body, expires, due_at,
                    sends, starts, reported, history, error)
                VALUES (%(task_id)s, %(task)s, %(queue)s, %(priority)s, %(body)s, %(expires)s,
                    coalesce(%(due_at)s, clock_timestamp() + %(due_in)s * interval '1 s'),
                    %(sends)s, 0, 0, '[]', '')
                RETURNING {ROW}""",
            values,
        )[0]
    )


def existing(ids: list[int]) -> set[int]:
    """Return which of the rows exist."""
    return {row[0] for row in run("SELECT id FROM durable_task WHERE id = ANY(%s)", [ids])}


def lease(limit: int) -> list[Row]:
    """Take up to *limit* rows that are due; nobody else sends them within ``LEASE`` seconds.

    By ``statement_timestamp()``, which an index can be searched for: ``clock_timestamp()`` is
    another one for each row, so that all rows that wait for their time would be read each time.
    """
    rows = run(
        f"""WITH due AS (
                SELECT id FROM durable_task WHERE due_at <= statement_timestamp()
                ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)
            UPDATE durable_task SET sends = sends + 1,
                due_at = clock_timestamp() + %s * interval '1 s'
            WHERE id IN (SELECT id FROM due) RETURNING {ROW}""",
        [limit, conf.LEASE],
    )
    return sorted(Row(*row) for row in rows)


#: Rows as they were when they were taken; a worker or another relay may be further by now.
_UNCHANGED = """FROM (
        SELECT e.id FROM durable_task e
        JOIN unnest(%s::bigint[], %s::int[], %s::int[]) AS was(id, sends, starts)
            ON e.id = was.id AND e.sends = was.sends AND e.starts = was.starts
        WHERE e.worker IS NULL ORDER BY e.id FOR UPDATE OF e
    ) AS same WHERE entry.id = same.id"""


def _columns(rows: Sequence[Row]) -> list[list[int]]:
    return [[r.id for r in rows], [r.sends for r in rows], [r.starts for r in rows]]


def mark_sent(rows: Sequence[Row]) -> None:
    """Record that the messages of *rows* are with the broker."""
    run(
        "UPDATE durable_task entry SET due_at = NULL, sent_at = clock_timestamp() " + _UNCHANGED,
        _columns(rows),
    )


def give_back(rows: Sequence[Row]) -> None:
    """Let the relay send *rows* again; that they were not sent is no fault of theirs."""
    run(
        "UPDATE durable_task entry SET due_at = clock_timestamp(), error = '' " + _UNCHANGED,
        _columns(rows),
    )


def claim(
    row_id: int,
    starts: int,
    worker: str,
    started: Part | None = None,
    task_id: str | None = None,
) -> int | None:
    """Start the row if it still is as its message says; return the fencing token.

    ``None``: it is finished, runs elsewhere, waits for its next time, or is in quarantine.

    :param started: stores that the task runs, if there is a row in ``mine``.
    :param task_id: the message's. Row numbers come again in a database that was made anew, and in
        another one that sends through the same broker.
    """
    rows = run_prepared(
        f"""WITH mine AS (
                UPDATE durable_task SET starts = starts + 1, worker = %(the_worker)s,
                    due_at = NULL, started_at = clock_timestamp()
                WHERE id = %(the_row)s AND starts = %(the_start)s AND worker IS NULL
                    AND quarantined_at IS NULL
                    AND task_id = coalesce(%(the_task)s::varchar, task_id)
                RETURNING starts){taking_along(started)}
            SELECT starts FROM mine""",
        {
            "the_worker": worker, "the_row": row_id, "the_start": starts,
            "the_task": task_id, **(started.values if started else {}),
        },
    )  # fmt: skip
    return int(rows[0][0]) if rows else None


def starts_of(row_id: int) -> int:
    """Return how often the row was started; -1 if there is none."""
    rows = run("SELECT starts FROM durable_task WHERE id = %s", [row_id])
    return int(rows[0][0]) if rows else -1


def is_running(row_id: int, token: int) -> bool:
    """Tell whether this start is still the row's latest one."""
    return bool(run("SELECT 1 FROM durable_task WHERE id = %s AND starts = %s", [row_id, token]))


def finish(starts: Iterable[tuple[int, int]], task_id: str | None = None) -> set[int]:
    """Delete the rows of *starts*, ``(id, token)`` each, and return the ids that were deleted.

    Call it in the transaction that holds their effects. What isn't returned was taken over by a
    later start, or was finished by one: its effects must be rolled back.

    :param task_id: of starts that have not claimed their rows: what their message says.
    """
    pairs = sorted(starts)
    rows = run(
        """DELETE FROM durable_task entry USING (
               SELECT e.id FROM durable_task e
               JOIN unnest(%s::bigint[], %s::int[]) AS s(id, token)
                   ON e.id = s.id AND e.starts = s.token
               WHERE e.task_id = coalesce(%s::varchar, e.task_id)
               ORDER BY e.id FOR UPDATE OF e
           ) AS mine WHERE entry.id = mine.id RETURNING entry.id""",
        [[pair[0] for pair in pairs], [pair[1] for pair in pairs], task_id],
    )
    return {row[0] for row in rows}


def finish_one(row_id: int, token: int, result: Part | None = None) -> bool:
    """Like ``finish()`` for one start, in one round trip with its result.

    :param result: stores it, if there is a row in ``mine``.
    """
    return bool(
        run_prepared(
            f"""WITH mine AS (
                    DELETE FROM durable_task WHERE id = %(the_row)s AND starts = %(the_start)s
                    RETURNING id){taking_along(result)}
                SELECT id FROM mine""",
            {"the_row": row_id, "the_start": token, **(result.values if result else {})},
        )
    )


def reschedule(
    row_id: int, token: int, due_at: datetime, why: str, call: dict[str, Any] | None = None
) -> bool:
    """End a start by a report: the row is to be started again at *due_at*.

    :param call: the ``body`` and ``expires`` of the call that this is to be from now, and
        ``queue`` and ``priority`` if it changes them.
    """
    again = call or dict.fromkeys(("body", "queue", "priority", "expires"))
    return bool(
        run(
            f"""UPDATE durable_task SET {APPEND}, worker = NULL, reported = starts,
                    due_at = %(due_at)s, error = %(why)s,
                    expires = CASE WHEN %(changed)s THEN %(expires)s ELSE expires END,
                    body = coalesce(%(body)s, body), queue = coalesce(%(queue)s, queue),
                    priority = coalesce(%(priority)s, priority)
                WHERE id = %(id)s AND starts = %(token)s RETURNING id""",
            {
                **again, "changed": call is not None, "note": note(why), "due_at": due_at,
                "why": storable(why), "id": row_id, "token": token,
            },
        )
    )  # fmt: skip


_POISON = "NOT %(reported)s AND starts - reported >= %(most)s"


def release(
    where: str, params: dict[str, Any], why: str, reported: bool = False
) -> list[tuple[int, str, str, bool]]:
    """End starts that will not finish: send their rows again, or quarantine them.

    :param reported: they were ended in order, and don't count towards the quarantine.
    :return: id, task id, task's name and whether it is in quarantine now, for each row.
    """
    rows = run(
        f"""UPDATE durable_task SET {APPEND}, worker = NULL,
                reported = CASE WHEN %(reported)s THEN starts ELSE reported END,
                error = CASE WHEN {_POISON} THEN %(why)s ELSE error END,
                due_at = CASE WHEN {_POISON} THEN NULL ELSE clock_timestamp() END,
                quarantined_at = CASE WHEN {_POISON} THEN clock_timestamp() END
            WHERE id IN (SELECT id FROM durable_task WHERE worker IS NOT NULL AND {where}
                ORDER BY id FOR UPDATE SKIP LOCKED)
            RETURNING id, task_id, task, quarantined_at IS NOT NULL""",
        {
            "note": note(why), "why": storable(why), "reported": reported,
            "most": conf.get("MAX_STARTS"), **params,
        },
    )  # fmt: skip
    return [(row[0], row[1], row[2], row[3]) for row in rows]
