"""Sums of each minute, of each task and queue: made of the entries, once a minute, by beat.

Charts, `/metrics` and alerts read these: some rows a minute, however many tasks there were.
"""

# ruff: noqa: S608 - the parts of the statement are constants here; every value is a parameter

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from django.db import connections, transaction
from django.db.models import Sum
from django.utils import timezone

from durable.database import locks

from . import conf
from .models import Minute, Release

logger = logging.getLogger(__name__)

#: Upper bounds of the histograms, in seconds; one more counts what is beyond.
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

#: An end is seen once it is committed, and stands in the minute of its statement: so the newest
#: minutes are counted again.
AGAIN = timedelta(minutes=2)


def _histogram(seconds: str) -> str:
    bounds = f"width_bucket({seconds}, ARRAY[{', '.join(map(str, BOUNDS))}]::float8[])"
    counts = (f"count(*) FILTER (WHERE {bounds} = {n})::int4" for n in range(len(BOUNDS) + 1))
    return f"ARRAY[{', '.join(counts)}]"


_WAIT = "greatest(0, extract(epoch FROM coalesce(started_at, ended_at) - due_at))::float8"
_RUN = "extract(epoch FROM ended_at - started_at)::float8"
_COLUMNS = (
    "done", "failed", "revoked", "retried", "died", "waited", "ran", "waits", "runs", "memory",
)  # fmt: skip

_FOLD = f"""
    INSERT INTO durable_minute (minute, task, queue, {", ".join(_COLUMNS)})
    SELECT date_trunc('minute', ended_at), task, queue,
        count(*) FILTER (WHERE state IN ('SUCCESS', 'IGNORED')),
        count(*) FILTER (WHERE state IN ('FAILURE', 'REJECTED')),
        count(*) FILTER (WHERE state IN ('REVOKED', 'DISCARDED')),
        coalesce(sum(jsonb_array_length(jsonb_path_query_array(
            history, '$[*] ? (@.what starts with "retry")'))), 0),
        coalesce(sum(jsonb_array_length(jsonb_path_query_array(
            history, '$[*] ? (@.what like_regex "ran it died$")'))), 0),
        sum({_WAIT}), coalesce(sum({_RUN}), 0), {_histogram(_WAIT)}, {_histogram(_RUN)}, max(memory)
    FROM durable_journal WHERE ended_at >= %(since)s AND ended_at < date_trunc('minute', %(now)s)
    GROUP BY 1, 2, 3
    ON CONFLICT (minute, task, queue) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}"""

#: A version is deployed with its first task after others had the last ones: a roll-back too.
_RELEASES = """
    WITH seen AS (
        SELECT version, min(ended_at) AS since, max(ended_at) AS until FROM durable_journal
        WHERE ended_at >= %(since)s AND ended_at < date_trunc('minute', %(now)s) AND version <> ''
        GROUP BY 1),
    before AS (SELECT max(until) AS at FROM durable_release),
    goes_on AS (
        UPDATE durable_release AS one SET until = greatest(one.until, seen.until)
        FROM seen, before
        WHERE one.version = seen.version AND one.until >= before.at - interval '10 min'
        RETURNING one.version)
    INSERT INTO durable_release (version, since, until)
    SELECT * FROM seen WHERE version NOT IN (SELECT version FROM goes_on)"""

_next = 0.0


def fold() -> bool:
    """Count the minutes that are over; return whether this process was the one to do it.

    What no later one counts again goes into the totals.

    :raises django.db.Error: the database is away; the next one counts what is missing.
    """
    from . import totals  # which takes BOUNDS from here

    now = timezone.now()
    with transaction.atomic(using=conf.alias()), connections[conf.alias()].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [locks.MINUTES])
        if not cursor.fetchone()[0]:
            return False
        # None of a clock that was ahead: until then, nothing would be counted.
        cursor.execute("SELECT max(minute) FROM durable_minute WHERE minute <= %s", [now])
        last = cursor.fetchone()[0] or now - timedelta(days=1)
        span = {"since": last - AGAIN, "now": now}
        cursor.execute(_FOLD, span)
        cursor.execute(_RELEASES, span)
        totals.settle(last - AGAIN)
    return True


def fold_once_a_minute() -> None:
    """Count the minutes that are over, if it is time to, and there is a journal."""
    global _next
    if conf.days() and time.monotonic() >= _next:
        fold()
        _next = time.monotonic() + 60 - time.time() % 60 + 1


def quantile(counts: Sequence[int], part: float) -> float | None:
    """Return the seconds within which *part* of what a histogram counts stayed; ``None``: empty.

    Linear within a bucket; of what is beyond all bounds, the last bound.
    """
    wanted, seen = sum(counts) * part, 0
    if not wanted:
        return None
    for number, count in enumerate(counts):
        if count and seen + count >= wanted:
            if number == len(BOUNDS):
                break
            low = BOUNDS[number - 1] if number else 0.0
            return low + (BOUNDS[number] - low) * (wanted - seen) / count
        seen += count
    return float(BOUNDS[-1])


def by_task(since: datetime) -> list[dict[str, Any]]:
    """Return the sums of each task since then, the one that ran the longest first."""

    def sums(column: str) -> str:
        each = (f"sum({column}[{n}])::int8" for n in range(1, len(BOUNDS) + 2))
        return f"ARRAY[{', '.join(each)}]"

    names = ("name", "done", "failed", "died", "ran", "memory", "waits", "runs")
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(
            f"""SELECT task, sum(done)::int8, sum(failed)::int8, sum(died)::int8, sum(ran),
                    max(memory), {sums("waits")}, {sums("runs")}
                FROM durable_minute WHERE minute >= %s GROUP BY task ORDER BY 5 DESC LIMIT 500""",
            [since],
        )
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


#: Parts of a time that a chart has a bar for.
PARTS = 60


def ends(
    since: datetime, now: datetime, by: Literal["task", "queue"] = "task"
) -> dict[str, tuple[list[int], list[int]]]:
    """Return how many tasks ended in each of PARTS of a time, and how many failed, by name."""
    found: dict[str, tuple[list[int], list[int]]] = {}
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(
            f"""SELECT {by}, floor(extract(epoch FROM minute - %(since)s) * %(parts)s
                    / extract(epoch FROM %(now)s - %(since)s))::int4,
                sum(done + failed + revoked)::int8, sum(failed)::int8
            FROM durable_minute WHERE minute >= %(since)s AND minute < %(now)s GROUP BY 1, 2""",
            {"since": since, "now": now, "parts": PARTS},
        )
        for name, part, count, failed in cursor.fetchall():
            of = found.setdefault(name, ([0] * PARTS, [0] * PARTS))
            of[0][part], of[1][part] = count, failed
    return found


class Last(NamedTuple):
    """The ends of a queue's tasks in the last minute."""

    ended: int
    failed: int
    #: Those that were called in it, too.
    called: int


def last(now: datetime, most: int) -> dict[str, Last]:
    """Return what has ended in the last minute, by queue, of *most* entries."""
    since = now - timedelta(minutes=1)
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(
            """SELECT queue, count(*), count(*) FILTER (WHERE state IN ('FAILURE', 'REJECTED')),
                count(*) FILTER (WHERE called_at > %(since)s)
            FROM (SELECT queue, state, called_at FROM durable_journal
                WHERE ended_at > %(since)s AND slot = ANY(%(slots)s) LIMIT %(most)s) AS newest
            GROUP BY 1""",
            {"since": since, "slots": conf.slots(since, now), "most": most},
        )
        return {row[0]: Last(*row[1:]) for row in cursor.fetchall()}


class Change(NamedTuple):
    """A task of the last hour: how long it ran and what its processes took, lately and before."""

    task: str
    #: Runs of the last 5 minutes and their seconds, and those of the time before.
    runs: int
    ran: float
    runs_before: int
    ran_before: float
    #: KiB, the most of the last 15 minutes, and of the time before.
    memory: int
    memory_before: int


def changes(since: datetime, now: datetime) -> list[Change]:
    """Return the tasks that ran the most since then, as they do now and did before."""
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(
            """SELECT task, coalesce(sum(runs) FILTER (WHERE lately), 0)::int8,
                coalesce(sum(ran) FILTER (WHERE lately), 0),
                coalesce(sum(runs) FILTER (WHERE NOT lately), 0)::int8,
                coalesce(sum(ran) FILTER (WHERE NOT lately), 0),
                coalesce(max(memory) FILTER (WHERE minute > %(now)s - interval '15 min'), 0),
                coalesce(max(memory) FILTER (WHERE minute <= %(now)s - interval '15 min'), 0)
            FROM (SELECT task, minute, ran, memory, minute > %(now)s - interval '6 min' AS lately,
                    (SELECT sum(n) FROM unnest(runs) AS n) AS runs
                FROM durable_minute WHERE minute >= %(since)s) AS one
            GROUP BY 1 ORDER BY sum(ran) DESC LIMIT 500""",
            {"since": since, "now": now},
        )
        return [Change(*row) for row in cursor.fetchall()]


def died(since: datetime) -> int:
    """Return how many attempts have died since then."""
    found = Minute.objects.using(conf.alias()).filter(minute__gt=since)
    return int(found.aggregate(all=Sum("died"))["all"] or 0)


def releases(since: datetime, now: datetime) -> list[int]:
    """Return in which of PARTS of a time a version was deployed."""
    begun = Release.objects.using(conf.alias()).filter(since__gte=since, since__lt=now)
    return [int((at - since) / (now - since) * PARTS)
            for at in begun.order_by("since").values_list("since", flat=True)]  # fmt: skip
