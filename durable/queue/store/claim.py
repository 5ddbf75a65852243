"""A worker takes ready rows in hand."""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ..states import FREE
from .parts import BEGUN, KNOWN, NO_WAIT, NOT_PAUSED, run, run_prepared


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


_PICK = f"""WITH picked AS (
    SELECT free.id FROM (
        SELECT * FROM unnest(%(queues)s::text[], %(priorities)s::int2[], %(since)s::timestamptz[])
            AS given(queue, priority, since)
        WHERE NOT EXISTS (
            SELECT 1 FROM durable_pause WHERE kind = 'queue' AND name = given.queue)) AS lane,
    LATERAL (
        SELECT id, due_at FROM durable_task task
        WHERE task.queue = lane.queue AND task.priority = lane.priority
            AND due_at >= lane.since AND due_at <= statement_timestamp() AND {FREE}
            AND {NOT_PAUSED} AND {KNOWN}
            AND (expires IS NULL OR expires > statement_timestamp())
        ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS free
    ORDER BY lane.priority, free.due_at LIMIT %(limit)s)"""

_HELD = """task.id, attempt, clean_attempt, task_id, task, queue, priority, headers, body,
    attempt > %(begun)s AND coalesce(history -> -1 ->> 'what', '') NOT LIKE 'retry%%',
    due_at, key"""


def hold(
    worker: str, lanes: Sequence[Lane], limit: int, known: Sequence[str] | None = None
) -> list[Held]:
    """Take up to *limit* ready rows in hand, by priority and age; no attempt of theirs begins.

    :param known: the tasks that the worker has; the rows of others stay in their place.

    A lane's *since* keeps the search off the dead rows that a long transaction of somebody else
    leaves: an index holds them until it is vacuumed, and each search would walk over all of them.
    """
    return _picked("worker = %(worker)s", worker, lanes, limit, known)


def take(
    worker: str, lanes: Sequence[Lane], limit: int, known: Sequence[str] | None = None
) -> list[Held]:
    """Begin an attempt of each of up to *limit* ready rows, as ``hold()`` finds them.

    It doesn't wait for the disk; see ``begin()``.
    """
    begun = f"worker = %(worker)s, attempt = attempt + 1, started_at = clock_timestamp(), {BEGUN}"
    return _picked(begun, worker, lanes, limit, known, NO_WAIT, begun=1)


def _picked(
    change: str,
    worker: str,
    lanes: Sequence[Lane],
    limit: int,
    known: Sequence[str] | None,
    beside: str = "",
    begun: int = 0,
) -> list[Held]:
    rows = run_prepared(
        f"""{_PICK} UPDATE durable_task task SET {change} FROM picked{beside}
            WHERE task.id = picked.id RETURNING {_HELD}""",
        {
            "worker": worker, "limit": limit, "known": known, "begun": begun,
            "queues": [lane.queue for lane in lanes],
            "priorities": [lane.priority for lane in lanes],
            "since": [lane.since for lane in lanes],
        },
    )  # fmt: skip
    return sorted((Held(*row) for row in rows), key=lambda row: (row.priority, row.due_at, row.id))


def lanes(queues: Sequence[str], known: Sequence[str] | None = None) -> list[Lane]:
    """Return the lanes of *queues* that have free rows, each from its first ready one or now on.

    A loose scan: as many steps in the index as there are lanes, however long they are; only ready
    rows of a paused task, or of one that is not *known*, at the head of one are walked over.
    """
    step = f"SELECT queue, priority FROM durable_task WHERE {FREE}"
    order = "ORDER BY queue, priority, due_at LIMIT 1"
    found = run(
        f"""WITH RECURSIVE lane AS (
                SELECT first.* FROM unnest(%(queues)s::text[]) AS name,
                    LATERAL ({step} AND queue = name {order}) AS first
                UNION ALL
                SELECT following.* FROM lane, LATERAL (
                    {step} AND queue = lane.queue AND priority > lane.priority {order}
                ) AS following)
            SELECT queue, priority, coalesce((
                SELECT due_at FROM durable_task task
                WHERE (queue, priority) = (lane.queue, lane.priority) AND {FREE} AND {NOT_PAUSED}
                    AND {KNOWN} AND due_at <= statement_timestamp() ORDER BY due_at LIMIT 1
            ), statement_timestamp()) FROM lane""",
        {"queues": list(queues), "known": known},
    )
    return [Lane(*row) for row in found]
