"""PostgreSQL: places, transactions, locks, dead rows, the age of its counters, its clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from durable.database.server import server

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

_DEAD = """SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables
    ORDER BY n_dead_tup DESC LIMIT 1"""
_AGE = """SELECT age(datfrozenxid), extract(epoch FROM clock_timestamp())::float8,
    current_setting('fsync') || current_setting('full_page_writes')
    FROM pg_database WHERE datname = current_database()"""


def lines() -> Iterator[Line]:
    """Yield a line for each; one connection, four statements."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        before = time.time()
        [(age, clock, safe)] = _rows(cursor, _AGE)
        after, found = time.time(), server(DEFAULT_DB_ALIAS)
        size = f"{found.bytes / 1e6:,.0f} MB"
        yield Line("database", "server", Level.OK, f"PostgreSQL {found.version}, {size}")
        yield clocks("database", before, float(clock), after)
        yield Line("database", "connections", graded(found.connections / found.most, *FULL),
                   f"{found.connections} of {found.most}",
                   "fewer WEB_THREADS, WEB_CONCURRENCY or workers; or raise max_connections"
                   " (manage.py check --deploy --database default adds them up)")  # fmt: skip
        who = f": {found.oldest_name}, pid {found.oldest_pid}, {found.oldest_state}"
        yield Line("database", "transactions", graded(found.oldest, *LONG),
                   f"the longest runs for {found.oldest:.0f} s" + (who if found.oldest_pid else ""),
                   "SELECT pg_terminate_backend(pid); no dead row goes before it")  # fmt: skip
        yield Line("database", "locks", graded(found.locked, *LOCKED),
                   f"{found.waits} for {found.locked:.0f} s" if found.waits else "none waits",
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
