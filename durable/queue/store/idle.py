"""Rows that no worker runs: a person ends them, or the janitor."""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable, Sequence

from durable.journal import entry
from durable.journal.entry import End

from .. import conf
from ..states import FREE
from .claim import lanes
from .parts import NOT_PAUSED, run
from .workers import ALIVE

#: Rows at the head of a lane among which unknown tasks are looked for: whatever waits before them
#: is run, and they stay.
HEAD = 1_000


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


def lock_expired(limit: int, row_id: int | None = None) -> list[int]:
    """Lock rows that expired before an attempt of theirs began, and that nothing else locks.

    :param row_id: the only one to look at.
    """
    rows = run(
        f"""SELECT id FROM durable_task WHERE expires < statement_timestamp()
           AND started_at IS NULL AND quarantined_at IS NULL
           {"" if row_id is None else "AND id = %(id)s"}
           ORDER BY expires LIMIT %(limit)s FOR UPDATE SKIP LOCKED""",
        {"limit": limit, "id": row_id},
    )
    return [row[0] for row in rows]


def delete(ends: Sequence[tuple[int, End | None]]) -> None:
    """Delete rows that the caller has locked.

    :param ends: their ids, and how each has ended, for the journal.
    """
    kept, ending = entry.part_of_many(ends)
    run(
        f"""WITH mine AS (DELETE FROM durable_task task WHERE id = ANY(%(the_ids)s)
                RETURNING {entry.returning(kept)}){kept}
            SELECT id FROM mine""",
        {"the_ids": [row_id for row_id, _ in ends], **ending},
    )


def known_tasks() -> dict[str, set[str]]:
    """Return the tasks that the living workers of each queue know; not of one that is paused."""
    found: dict[str, set[str]] = {}
    alive = run(f"SELECT queues, tasks FROM durable_worker WHERE {ALIVE}", [conf.get("DEAD_AFTER")])
    for names, tasks in alive:
        for queue in names.split(","):
            found.setdefault(queue, set()).update(tasks)
    for (paused,) in run("SELECT name FROM durable_pause WHERE kind = 'queue'"):
        found.pop(paused, None)
    return found


def first_tasks(queues: Iterable[str]) -> set[tuple[str, str]]:
    """Return queue and task of the first ready rows of each lane, of what is not paused."""
    found = set()
    for lane in lanes(sorted(queues)):
        rows = run(
            f"""SELECT DISTINCT task FROM (
                    SELECT task FROM durable_task WHERE {FREE} AND {NOT_PAUSED} AND queue = %s
                        AND priority = %s AND due_at <= statement_timestamp()
                    ORDER BY due_at LIMIT {HEAD}) AS head""",
            [lane.queue, lane.priority],
        )
        found |= {(lane.queue, row[0]) for row in rows}
    return found


def lock_ready(queue: str, task: str, seconds: float, limit: int) -> list[tuple[int, str]]:
    """Lock rows of a task that wait for nothing else for so long; return their ids, and tasks'."""
    rows = run(
        f"""SELECT id, task_id FROM durable_task
            WHERE {FREE} AND {NOT_PAUSED} AND queue = %s AND task = %s
                AND coalesce(eligible_at, due_at) < statement_timestamp() - %s * interval '1 s'
            LIMIT %s FOR UPDATE SKIP LOCKED""",
        [queue, task, seconds, limit],
    )
    return [(row[0], row[1]) for row in rows]
