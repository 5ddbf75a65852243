"""The rows as a person sees them; this file only reads them.

Each question is bounded, however many rows there are (but those of ``check_tasks``, at the end).
Counts stop at ``CAP``: a reader of a backlog needs to know that there are more, and not how many.
"""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from . import conf, store
from .states import FAR, FREE, STATES

CAP = 10_000
#: Keys of limits that are looked at, in the order of their names, and counted rows of each.
KEYS, KEY_CAP = 100, 1_000
#: Rows that the admin shows of a state which no index tells apart.
FIRST = 1_000
#: Lanes that are looked at, in the order of their names: whatever queues somebody calls, a page and
#: a scrape stay short.
LANES = 200


class Queue(NamedTuple):
    """The rows of a queue by state; at most ``CAP`` of each are counted."""

    name: str
    ready: int
    scheduled: int
    #: Since when the first one is ready.
    oldest: datetime | None


class Running(NamedTuple):
    """A task that an attempt runs now."""

    id: int
    task_id: str
    task: str
    queue: str
    worker: str
    started_at: datetime
    attempt: int


class Taker(NamedTuple):
    """A worker that is alive."""

    #: Their names, with commas.
    queues: str
    slots: int
    version: str


class Worker(NamedTuple):
    """A worker and what it has in hand."""

    id: str
    hostname: str
    pid: int
    slots: int
    queues: str
    version: str
    started_at: datetime
    seen_at: datetime
    alive: bool
    #: Who wants it to stop; empty: none does.
    stop_by: str
    running: int
    #: In which these have run, all together.
    seconds: int
    held: int
    #: KiB of all its processes; 0: not known.
    memory: int = 0


class Key(NamedTuple):
    """What is limited together, in one queue; at most ``KEY_CAP`` rows of it are counted."""

    queue: str
    key: str
    at_once: int | None
    #: Begins in a second.
    rate: float | None
    in_order: bool
    running: int
    #: Rows with a place that have not begun.
    in_line: int
    waiting: int


def queues(named: Iterable[str] = ()) -> list[Queue]:
    """Return the queues in which rows wait; as many steps in the index as there are lanes.

    :param named: queues that are not left out where there are more than ``LANES`` lanes.
    """
    found = _lanes("", [])
    if len(found) == LANES:
        found = list({*found, *_lanes("AND queue = ANY(%s)", list(named))})
    by_name: dict[str, Queue] = {}
    for name, _, ready, scheduled, oldest in found:
        before = by_name.get(name, Queue(name, 0, 0, None))
        first = min(filter(None, (before.oldest, oldest)), default=None)
        by_name[name] = Queue(name, before.ready + ready, before.scheduled + scheduled, first)
    return list(by_name.values())


_LIMITED = STATES["limited"].sql


def limited() -> dict[str, int]:
    """Return how many rows wait for a place of their key, by queue, up to ``CAP``."""
    found = store.run(
        f"""SELECT queue, count(*)::int FROM (SELECT queue FROM durable_task
                WHERE {_LIMITED} LIMIT {CAP}) AS first GROUP BY 1"""
    )
    return {row[0]: row[1] for row in found}


_PLACED = "key IS NOT NULL AND eligible_at IS NULL AND quarantined_at IS NULL"


def keys() -> list[Key]:
    """Return the keys of limits that have rows: the first ``KEYS`` with a place or without one.

    As many steps in the two indexes as there are keys, and ``KEY_CAP`` rows of each.
    """
    limits = "SELECT at_once, rate, in_order FROM durable_task WHERE"
    found = store.run(
        f"""WITH RECURSIVE waits AS (
                (SELECT queue, key FROM durable_task WHERE {_LIMITED} ORDER BY queue, key LIMIT 1)
                UNION ALL
                SELECT following.* FROM waits, LATERAL (
                    SELECT queue, key FROM durable_task
                    WHERE {_LIMITED} AND (queue, key) > (waits.queue, waits.key)
                    ORDER BY queue, key LIMIT 1) AS following),
            placed AS (
                (SELECT queue, key FROM durable_task WHERE {_PLACED} ORDER BY key LIMIT 1)
                UNION ALL
                SELECT following.* FROM placed, LATERAL (
                    SELECT queue, key FROM durable_task WHERE {_PLACED} AND key > placed.key
                    ORDER BY key LIMIT 1) AS following),
            known AS (
                (SELECT queue, key FROM waits LIMIT {KEYS})
                UNION (SELECT queue, key FROM placed LIMIT {KEYS}))
            SELECT known.queue, known.key, at_once, rate, in_order, running, in_line, waiting
            FROM known,
                LATERAL ({limits} {_LIMITED} AND queue = known.queue AND key = known.key
                    UNION ALL {limits} {_PLACED} AND key = known.key LIMIT 1) AS one,
                LATERAL (SELECT count(started_at)::int AS running,
                        (count(*) - count(started_at))::int AS in_line
                    FROM (SELECT started_at FROM durable_task
                        WHERE {_PLACED} AND key = known.key LIMIT {KEY_CAP}) AS c) AS places,
                LATERAL (SELECT count(*)::int AS waiting
                    FROM (SELECT 1 FROM durable_task
                        WHERE {_LIMITED} AND queue = known.queue AND key = known.key
                        LIMIT {KEY_CAP}) AS c) AS others
            ORDER BY waiting DESC, running DESC, known.key"""
    )
    return [Key(*row) for row in found]


def ids_of(state: str) -> list[int]:
    """Return the ids of the ``FIRST`` ready or scheduled rows of each lane, ``FIRST`` in all.

    Asked apart: within the query that sorts by them, the plan walks over all newer rows.
    """
    lane = f"FROM durable_task WHERE {FREE} AND (queue, priority) = (lane.queue, lane.priority)"
    now = "statement_timestamp()"
    due = {"ready": f"due_at <= {now}", "scheduled": f"due_at > {now} AND due_at < '{FAR}'"}[state]
    found = store.run(
        f"""{_LANE.format(of="")} SELECT one.id FROM lane, LATERAL (
                SELECT id {lane} AND {due}
                ORDER BY due_at LIMIT {FIRST}) AS one LIMIT {FIRST}"""
    )
    return [row[0] for row in found]


#: Every lane with its first row, in as many steps in the index as there are lanes.
_LANE = f"""WITH RECURSIVE lane AS (
        (SELECT queue, priority, due_at FROM durable_task WHERE {FREE} {{of}}
            ORDER BY queue, priority, due_at LIMIT 1)
        UNION ALL
        SELECT following.* FROM lane, LATERAL (
            SELECT queue, priority, due_at FROM durable_task WHERE {FREE} {{of}}
                AND (queue, priority) > (lane.queue, lane.priority)
            ORDER BY queue, priority, due_at LIMIT 1) AS following)"""


def _lanes(of: str, named: list[str]) -> list[tuple[str, int, int, int, datetime | None]]:
    lane = f"FROM durable_task WHERE {FREE} AND (queue, priority) = (lane.queue, lane.priority)"
    now = "statement_timestamp()"
    # In order, or a plan made for the longest lane reads the whole table for the shortest.
    in_order = f"ORDER BY due_at LIMIT {CAP}"
    found = store.run(
        f"""{_LANE.format(of=of)} SELECT queue, priority,
                (SELECT count(*) FROM (SELECT 1 {lane} AND due_at <= {now} {in_order}) AS c)::int,
                (SELECT count(*) FROM (SELECT 1 {lane} AND due_at > {now} AND due_at < '{FAR}'
                    {in_order}) AS c)::int,
                CASE WHEN due_at <= {now} THEN due_at END
            FROM lane LIMIT {LANES}""",
        [named, named] if of else [],
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in found]


def in_hand() -> list[tuple[str, str, int]]:
    """Return queue, state and number of the rows that workers have, and of those in quarantine."""
    found = store.run(
        f"""SELECT queue, CASE WHEN started_at IS NULL THEN 'held' ELSE 'running' END, count(*)::int
            FROM (SELECT queue, started_at FROM durable_task WHERE worker IS NOT NULL
                ORDER BY worker LIMIT {CAP}) AS c GROUP BY 1, 2
            UNION ALL SELECT queue, 'quarantined', count(*)::int
            FROM (SELECT queue FROM durable_task WHERE quarantined_at IS NOT NULL
                ORDER BY quarantined_at DESC LIMIT {CAP}) AS c GROUP BY 1"""
    )
    return [(row[0], row[1], row[2]) for row in found]


def estimate(index: str = "durable_task_free") -> int:
    """Return how many rows an index has, as PostgreSQL plans with it; else all that wait."""
    [(found,)] = store.run(
        """SELECT coalesce(reltuples / nullif(relpages, 0)
               * (pg_relation_size(oid) / current_setting('block_size')::int), 0)::int8
           FROM pg_class WHERE oid = %s::regclass""",
        [index],
    )
    return max(0, int(found))


def takers() -> list[Taker]:
    """Return the workers that are alive."""
    found = store.run(
        f"SELECT queues, slots, version FROM durable_worker WHERE {store.ALIVE} LIMIT %s",
        [conf.get("DEAD_AFTER"), CAP],
    )
    return [Taker(*row) for row in found]


def by_queue(workers: Iterable[Taker | Worker]) -> Counter[str]:
    """Return how many of *workers* take from each queue."""
    return Counter(queue for one in workers for queue in one.queues.split(","))


def running(limit: int = 500) -> list[Running]:
    """Return what runs now, the longest first."""
    found = store.run(
        """SELECT id, task_id, task, queue, worker, started_at, attempt FROM durable_task
           WHERE worker IS NOT NULL AND started_at IS NOT NULL ORDER BY started_at LIMIT %s""",
        [limit],
    )
    return [Running(*row) for row in found]


def paused(kind: str = "queue") -> dict[str, tuple[datetime, str]]:
    """Return the queues, or tasks, that are paused: since when, and by whom."""
    sql = "SELECT name, since, who FROM durable_pause WHERE kind = %s ORDER BY name LIMIT %s"
    return {row[0]: (row[1], row[2]) for row in store.run(sql, [kind, LANES])}


def quarantined() -> list[tuple[str, str, int]]:
    """Return task, error and number of the newest rows in quarantine, the most first."""
    return [
        (row[0], row[1], row[2])
        for row in store.run(
            """SELECT task, error, count(*)::int FROM (
                   SELECT task, error FROM durable_task WHERE quarantined_at IS NOT NULL
                   ORDER BY quarantined_at DESC LIMIT %s) AS newest
               GROUP BY 1, 2 ORDER BY 3 DESC""",
            [CAP],
        )
    ]


def workers() -> list[Worker]:
    """Return the workers that have signed on, and what each has in hand."""
    found = store.run(
        f"""SELECT worker.id, hostname, pid, slots, queues, version, worker.started_at, seen_at,
               {store.ALIVE}, stop_by,
               count(task.started_at)::int,
               coalesce(extract(epoch FROM sum(clock_timestamp() - task.started_at)), 0)::int,
               (count(task.id) - count(task.started_at))::int, memory
           FROM durable_worker AS worker LEFT JOIN durable_task AS task
               ON task.worker IS NOT NULL AND split_part(task.worker, '#', 1) = worker.id
           GROUP BY worker.id ORDER BY hostname, pid""",
        [conf.get("DEAD_AFTER")],
    )
    return [Worker(*row) for row in found]


def called_lately(seconds: int = 60) -> dict[str, int]:
    """Return how many of the rows were called lately, by queue, among the newest ``CAP``."""
    found = store.run(
        """SELECT queue, count(*)::int FROM (
               SELECT queue, created_at FROM durable_task ORDER BY id DESC LIMIT %s) AS newest
           WHERE created_at > clock_timestamp() - %s * interval '1 s' GROUP BY 1""",
        [CAP, seconds],
    )
    return {row[0]: row[1] for row in found}


#: Seconds by which a backlog is told apart.
AGES = (10, 60, 600, 3600, 86_400)


def ages(queue: str) -> list[int]:
    """Return how many rows of a queue are ready for less than each of ``AGES``, and for longer."""
    # Times, computed once: ages are numbers of any length, and cost ten times as much a row.
    times = (f"statement_timestamp() - interval '{age} s'" for age in reversed(AGES))
    bounds = f"(SELECT ARRAY[{', '.join(times)}])"
    counts = [0] * (len(AGES) + 1)
    for lane in store.lanes([queue]):
        found = store.run(
            f"""SELECT width_bucket(due_at, {bounds}), count(*)::int
                FROM (SELECT due_at FROM durable_task WHERE {FREE} AND queue = %s
                        AND priority = %s AND due_at <= statement_timestamp()
                    ORDER BY due_at LIMIT {CAP}) AS w
                GROUP BY 1""",
            [queue, lane.priority],
        )
        for bucket, count in found:
            counts[len(AGES) - bucket] += count
    return counts


#: A row's arguments; of what ``jsonb`` can't hold (NUL, half of a surrogate pair, a number that is
#: none) there is nothing to see.
_CALL = r"""CASE WHEN body !~ '\\u0000|\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]'
    AND body !~ '[[ ]-?(NaN|Infinity)[],}]' THEN body::jsonb END"""


def shapes() -> list[tuple[str, int | None, list[str], int]]:
    """Return the calls that wait: task, number of arguments, names of the named, number of rows.

    Of arguments that can't be seen the number is ``None``.
    """
    rows = store.run(
        f"""SELECT task, count, names, count(*) FROM (
                SELECT task, jsonb_array_length(call -> 0) AS count,
                    ARRAY(SELECT jsonb_object_keys(call -> 1) ORDER BY 1) AS names
                FROM (SELECT task, {_CALL} AS call FROM durable_task) AS read) AS shape
            GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def following() -> list[tuple[str, int]]:
    """Return the tasks that follow rows (a chain's next, ``link=``, a chord's body), with rows."""
    rows = store.run(
        f"""SELECT next.task #>> '{{}}', count(DISTINCT id) FROM durable_task,
                jsonb_path_query(({_CALL}) -> 2,
                    '$.** ? (exists(@.task) && exists(@.subtask_type)).task') AS next(task)
            WHERE body LIKE '%%subtask_type%%' GROUP BY 1 ORDER BY 1"""
    )
    return [(row[0], row[1]) for row in rows]
