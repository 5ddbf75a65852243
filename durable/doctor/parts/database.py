"""PostgreSQL: places, transactions, locks, dead rows, the age of its counters, its clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from durable.checks.capacity import places
from durable.database import sessions

from ..line import Level, Line, graded

#: Seconds of a transaction: rows stay dead behind it, and migrations wait.
LONG = (300, 3600)
#: Seconds that a session waits for a lock.
LOCKED = (10, 60)
#: Shares of the places for connections.
FULL = (0.8, 0.95)
#: Transactions until the counter must have been frozen are two thousand million.
AGE = (1e9, 1.6e9)
#: Dead rows of a table: their number, beside as many live ones.
DEAD = (100_000, 10_000_000)
#: Seconds between this clock and another.
CLOCK = (2, 30)

_SESSIONS = """SELECT count(*) FILTER (WHERE backend_type = 'client backend'),
    coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)
        FILTER (WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())), 0)::float8,
    coalesce((array_agg(format('%s, pid %s, %s', application_name, pid, state) ORDER BY xact_start)
        FILTER (WHERE xact_start IS NOT NULL AND backend_type = 'client backend'
            AND pid <> pg_backend_pid()))[1], ''),
    coalesce(extract(epoch FROM max(clock_timestamp() - state_change)
        FILTER (WHERE wait_event_type = 'Lock')), 0)::float8,
    coalesce((array_agg(format('pid %s waits for pid %s', pid,
        array_to_string(pg_blocking_pids(pid), ', ')) ORDER BY state_change)
        FILTER (WHERE wait_event_type = 'Lock'))[1], '')
    FROM """
_DEAD = """SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables
    ORDER BY n_dead_tup DESC LIMIT 1"""
_SIZE = """SELECT pg_size_pretty(pg_database_size(current_database())), age(datfrozenxid),
    current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8,
    current_setting('fsync') || current_setting('full_page_writes')
    FROM pg_database WHERE datname = current_database()"""


def lines() -> Iterator[Line]:
    """Yield a line for each; one connection, four statements."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        before = time.time()
        [(size, age, version, clock, safe)] = _rows(cursor, _SIZE)
        yield Line("database", "server", Level.OK, f"PostgreSQL {version}, {size}")
        yield clocks("database", before, float(clock), time.time())
        asked = _SESSIONS + sessions.relation(cursor)
        [(count, longest, who, locked, waits)] = _rows(cursor, asked)
        allowed = places()
        yield Line("database", "connections", graded(count / allowed, *FULL),
                   f"{count} of {allowed}",
                   "fewer WEB_THREADS, WEB_CONCURRENCY or workers; or raise max_connections"
                   " (manage.py check --deploy --database default adds them up)")  # fmt: skip
        yield Line("database", "transactions", graded(longest, *LONG),
                   f"the longest runs for {longest:.0f} s" + (f": {who}" if who else ""),
                   "SELECT pg_terminate_backend(pid); no dead row goes before it")  # fmt: skip
        yield Line("database", "locks", graded(locked, *LOCKED),
                   f"{waits} for {locked:.0f} s" if waits else "none waits",
                   "end the one that holds it: SELECT pg_terminate_backend(pid)")  # fmt: skip
        for table, dead, live in _rows(cursor, _DEAD):
            level = graded(dead, *DEAD) if dead > live else Level.OK
            yield Line("database", "dead rows", level, f"{dead} beside {live} in {table}, at most",
                       f"VACUUM {table}; if it brings nothing, end long transactions and unused"
                       " replication slots")  # fmt: skip
        yield Line("database", "counters", graded(age, *AGE), f"{age / 1e6:.0f} million"
                   " transactions since all was frozen", "VACUUM FREEZE, and look why autovacuum"
                   " doesn't do it (long transactions, prepared ones, slots)")  # fmt: skip
        if safe != "onon":
            yield Line("database", "durability", Level.FAIL, "fsync or full_page_writes is off",
                       "set both to on: a crash of the machine would lose the data")  # fmt: skip


def clocks(part: str, before: float, there: float, after: float) -> Line:
    """Return the line of a clock that said *there* between *before* and *after* of this one."""
    apart = max(0.0, before - there, there - after)
    return Line(part, "clock", graded(apart, *CLOCK), f"{apart:.1f} s from the clock here",
                "let both machines ask a time server (chrony, systemd-timesyncd)")  # fmt: skip


def _rows(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql)
    return list(cursor.fetchall())
