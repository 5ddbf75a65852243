"""The price of a transaction that stays open: tasks a second, and the time of a claim.

    python -m bench.long_transaction [--batch 100] [--dead 180000] [--tasks 3000] [--rounds 3]
                                     [--write]

Another session holds its snapshot, as a dump or a report does, so that no vacuum can remove the
rows of the tasks that end meanwhile. Ten minutes at 300 tasks a second leave 180,000 behind; here a
batch worker does so many as fast as it can, a few at a time, and the count is the same. Then both
pools are measured, in turn. The same without the snapshot comes first. Both are vacuumed before
they are measured. ``--write`` writes docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.servers import start_postgres, temporary_folder

os.environ["TEST_DATABASE_URL"] = start_postgres(
    temporary_folder(), "shared_preload_libraries=pg_stat_statements"
)

import conftest  # noqa: F401 - starts a broker, and sets up Django

# isort: split
import psycopg
from django.db import connection

from bench import counters, page, pools
from bench.peers.measure import written
from bench.peers.tasks import nothing
from bench.peers.work import NOT_MARKED
from durable.queue.models import Task

TABLE = Task._meta.db_table
#: So many tasks are in the queue at once while the dead rows are made.
PORTION = 1000
WITHOUT, WITH = "nothing held", "a snapshot held"

Key = tuple[int, str]  # the pool, and whether a snapshot was held


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.long_transaction")
    parser.add_argument("--batch", type=int, default=100, help="the size of the batches")
    parser.add_argument("--dead", type=int, default=180_000, help="tasks that leave rows behind")
    parser.add_argument("--tasks", type=int, default=3000, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args()


@contextmanager
def snapshot() -> Iterator[None]:
    """Hold a snapshot in a session of its own."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.execute("SELECT 1")
        yield
        session.rollback()


def leave_behind(count: int, batch: int, folder: Path) -> None:
    """Do *count* tasks, a portion at a time."""
    pools.clear()
    with pools.worker(batch, folder) as role:
        pools.wait_until_ready(role)
        for portion in range(1, count // PORTION + 1):
            labels = [NOT_MARKED] * (PORTION - 1) + [portion]
            nothing.map_on_commit((label,) for label in labels)
            pools.wait(role, lambda portion=portion: written() >= portion, 120)  # type: ignore[misc]


def claim() -> float:
    """Return the milliseconds of the statement that takes rows, the one that is run most often."""
    for calls, milliseconds, query in counters.statements(1):
        if "SKIP LOCKED" in query and TABLE in query:
            return milliseconds / calls
    return float("nan")


def dead() -> int:
    """Return how many dead rows a vacuum has left in the table."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = %s", [TABLE])
        return int(cursor.fetchone()[0])


def main() -> None:
    """Measure, and print or write the table."""
    asked = arguments()
    pools.prepare()
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    load = os.getloadavg()[0]
    rates: dict[Key, list[float]] = defaultdict(list)
    claims: dict[Key, list[float]] = defaultdict(list)
    left: dict[str, int] = {}

    def measure(held: str, folder: Path) -> None:
        leave_behind(asked.dead, asked.batch, folder)
        left[held] = dead()
        for _ in range(asked.rounds):
            for batch in (pools.PREFORK, asked.batch):
                counters.forget_statements()
                rates[batch, held].append(pools.throughput(batch, asked.tasks, folder))
                claims[batch, held].append(claim())

    with tempfile.TemporaryDirectory() as name:
        measure(WITHOUT, Path(name))
        with snapshot():
            measure(WITH, Path(name))
    rows = []
    for batch in (pools.PREFORK, asked.batch):
        rate, time = ({held: median(of[batch, held]) for held in left} for of in (rates, claims))
        for held in left:
            ratio = "" if held == WITHOUT else f"{rate[WITH] / rate[WITHOUT]:.2f}"
            numbers = [f"{left[held]:,}", f"{rate[held]:.0f}", ratio, f"{time[held]:.2f}"]
            rows.append([pools.name(batch), held, *numbers])
    head = ["pool", "", "dead rows", "tasks/s", "ratio", "a claim, ms"]
    text = f"""{page.table(head, rows)}

Measured on {page.machine()}: after {asked.dead:,} tasks; the median of
{asked.rounds} rounds in turn. {page.load(load)}"""
    print(text)
    if asked.write:
        page.write("bench.long_transaction", text)


if __name__ == "__main__":
    main()
