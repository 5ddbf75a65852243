"""Places: rows with a key stand in line only once their key has a place for them.

The third file with SQL on the rows. A place is no counter, which a crash could leave wrong: a row
with a key that is in line, is held or runs has one, and it is free when that row is gone, waits for
its next try, or is in quarantine. One process at a time counts them and lets others in line.
"""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db import transaction

from durable.database import locks

from . import conf, store
from .states import STATES

#: Keys that one look goes over; the next one goes on behind them.
KEYS = 2000
#: Rows of one key that a look lets in line, at most.
MOST = 100
#: Seconds of a rate that may begin together, or one task of it.
BURST = 0.1

_LIMITED = STATES["limited"].sql
_DUE = f"eligible_at <= statement_timestamp() AND {store.NOT_PAUSED}"
#: A row of a task that the worker doesn't know would keep its place from others until one comes
#: that knows it. Of those in order it holds them up all the same.
_MINE = f"{_DUE} AND (in_order OR {store.KNOWN})"
_ORDER = "priority, eligible_at, id"

_EVERY = f"""looked AS (
    SELECT * FROM (
        WITH RECURSIVE known AS (
            SELECT first.* FROM open, LATERAL (
                SELECT queue, key FROM durable_task WHERE {_LIMITED} AND queue = open.name
                    AND key > %(after)s ORDER BY queue, key LIMIT 1) AS first
            UNION ALL
            SELECT following.* FROM known, LATERAL (
                SELECT queue, key FROM durable_task WHERE {_LIMITED} AND queue = known.queue
                    AND key > known.key ORDER BY queue, key LIMIT 1) AS following)
        SELECT * FROM known) AS found LIMIT {KEYS})"""

_NAMED = "looked AS (SELECT name AS queue, key FROM open, unnest(%(keys)s::text[]) AS key)"

_ADMIT = f"""WITH open AS (
    SELECT given.name FROM unnest(%(queues)s::text[]) AS given(name) WHERE NOT EXISTS (
        SELECT 1 FROM durable_pause AS pause WHERE kind = 'queue' AND pause.name = given.name)),
{{some}},
head AS (
    SELECT looked.queue, looked.key, first.*,
        CASE WHEN rate > 0 THEN greatest(1, ceil(rate * {BURST}))::int END AS burst,
        interval '1 s' / rate AS every
    FROM looked, LATERAL (
        SELECT id AS first_id, at_once, rate, in_order FROM durable_task
        WHERE {_LIMITED} AND queue = looked.queue AND key = looked.key AND {_MINE}
        ORDER BY {_ORDER} LIMIT 1) AS first),
room AS (
    SELECT head.*, taken, unbegun, since, least(
        {MOST}, at_once - taken, burst - unbegun,
        floor(extract(epoch FROM statement_timestamp() - since) * rate + 1e-6)) AS places
    FROM head LEFT JOIN durable_pace AS pace ON pace.key = head.key,
        LATERAL (SELECT count(*) AS taken, count(*) FILTER (WHERE started_at IS NULL) AS unbegun
            FROM durable_task AS other WHERE other.key = head.key
                AND eligible_at IS NULL AND quarantined_at IS NULL) AS in_line,
        LATERAL (SELECT greatest(
            -- One that is to come is of a clock that was set back since.
            CASE WHEN pace.since_at > statement_timestamp() + every
                THEN statement_timestamp() - every ELSE pace.since_at END,
            statement_timestamp() - burst * every) AS since) AS paced),
candidate AS (
    SELECT room.*, one.id, row_number() OVER (
        PARTITION BY room.key ORDER BY one.priority, one.eligible_at, one.id) AS number
    FROM room, LATERAL (
        SELECT id, priority, eligible_at FROM durable_task
        WHERE {_LIMITED} AND queue = room.queue AND key = room.key AND {_MINE}
        ORDER BY {_ORDER} LIMIT greatest(room.places, 0)::int FOR UPDATE SKIP LOCKED) AS one),
chosen AS (SELECT * FROM candidate WHERE number <= places AND (NOT in_order OR id = first_id)),
moved AS (
    UPDATE durable_task AS task SET eligible_at = NULL,
        due_at = statement_timestamp() + number * interval '1 us'
    FROM chosen WHERE task.id = chosen.id RETURNING task.priority || ' ' || task.queue AS lane),
paced AS (
    INSERT INTO durable_pace AS pace (key, since_at)
    SELECT key, max(since) + count(*) * max(every) FROM chosen WHERE rate IS NOT NULL GROUP BY key
    ON CONFLICT (key) DO UPDATE SET since_at = excluded.since_at)
SELECT (SELECT array_agg(DISTINCT lane) FROM moved),
    (SELECT extract(epoch FROM min(since + every) - statement_timestamp())::float8 FROM room
        WHERE rate IS NOT NULL AND coalesce(at_once > taken, true)),
    (SELECT count(*) FROM looked),
    (SELECT min(last) FROM (SELECT max(key) AS last FROM looked GROUP BY queue) AS of_queue)"""


class Look(NamedTuple):
    """What a look has found."""

    #: Lanes in which rows now stand that did not before, as NOTIFY names them.
    lanes: list[str]
    #: Seconds until a rate lets the next row in line.
    seconds: float | None
    #: How many keys it went over, and where the next look goes on.
    keys: int
    after: str


def admit(
    queues: Iterable[str],
    keys: Iterable[str] | None = None,
    after: str = "",
    known: Sequence[str] | None = None,
) -> Look:
    """Let rows of *queues* in line that have places, as many of each key in turn.

    :param keys: those to look at; without them all behind *after*, ``KEYS`` at most.
    :param known: the tasks that the worker has; of all, without them.
    """
    with transaction.atomic(using=conf.alias()):
        # A statement of its own: the next one then counts what the process before has changed.
        store.run("SELECT pg_advisory_xact_lock(%s)", [locks.PLACES])
        [(lanes, seconds, count, last)] = store.run(
            _ADMIT.format(some=_EVERY if keys is None else _NAMED),
            {"queues": list(queues), "keys": list(keys or ()), "after": after, "known": known},
        )
    return Look(lanes or [], seconds, count, last if count >= KEYS else "")


def first_tasks(queues: Iterable[str]) -> set[tuple[str, str]]:
    """Return queue and task of the first row of each key that waits, of ``KEYS`` at most."""
    rows = store.run(
        f"""WITH open AS (SELECT unnest(%(queues)s::text[]) AS name), {_EVERY}
            SELECT DISTINCT looked.queue, first.task FROM looked, LATERAL (
                SELECT task FROM durable_task
                WHERE {_LIMITED} AND queue = looked.queue AND key = looked.key AND {_DUE}
                ORDER BY {_ORDER} LIMIT 1) AS first""",
        {"queues": list(queues), "after": ""},
    )
    return {(row[0], row[1]) for row in rows}
