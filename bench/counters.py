"""The price of a piece of work, as PostgreSQL and the kernel count it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psutil
from django.db import connection

#: Since the server's start. Statements include BEGIN and COMMIT; each is a round trip. Bytes of the
#: log by its end: what a session counts is seen a second later.
SQL = """
    SELECT (SELECT sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%%pg_stat_%%'),
           (SELECT sessions FROM pg_stat_database WHERE datname = current_database()),
           (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
           pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'),
           (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'),
           (SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'durable_task'),
           (SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'durable_task')"""
NAMES = ("statements", "backends", "commits", "wal_bytes", "fsyncs", "updates", "hot_updates")


def postgres() -> Counter[str]:
    """Return what PostgreSQL has counted so far; needs the extension pg_stat_statements."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(SQL)
        return Counter({k: int(v or 0) for k, v in zip(NAMES, cursor.fetchone(), strict=True)})


def statements(least: int) -> list[tuple[int, float, str]]:
    """Return calls, milliseconds and text of each statement that was run *least* times or more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT calls, total_exec_time, query FROM pg_stat_statements"
            " WHERE calls >= %s ORDER BY calls DESC",
            [least],
        )
        return [tuple(row) for row in cursor.fetchall()]


def forget_statements() -> None:
    """Begin to count statements anew."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_statements_reset()")


def cpu(process: psutil.Process) -> float:
    """Return the seconds of processor time of *process* itself, without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


def cpu_of_children(process: psutil.Process) -> float:
    """Return the processor time of its children, those that have ended included."""
    times: Any = process.cpu_times()
    alive = sum(cpu(child) for child in process.children(recursive=True))
    return float(times.children_user + times.children_system + alive)
