"""A long backlog: what the workers' and the janitor's statements cost while many rows wait.

    python -m bench.backlog [ROWS] [SECONDS]

ROWS (100,000) rows are ready, and as many more wait for a time that is an hour away. Two workers
take from the queue for SECONDS (60); halfway, one of them is killed with what it holds. Prints how
many tasks were done, the longest and the mean time of each statement, and the plans of those that
look through waiting rows.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import ledger  # starts PostgreSQL and a broker, and sets up Django

# isort: split
import psutil
from django.db import connection

from bench.effects import effect
from durable.queue import store
from durable.queue.store import claim
from durable.queue.worker.lanes import EVER
from tests.fixtures_worker import Role

#: Each statement that looks through the rows, with its parameters.
PLANS: dict[str, tuple[str, dict[str, Any]]] = {
    "hold": (
        f"{claim._PICK} SELECT * FROM picked",  # noqa: S608
        {
            "queues": ["default"],
            "priorities": [0],
            "since": [EVER],
            "limit": 50,
            "known": [effect.name],
        },
    ),
    "expired": (
        "SELECT id FROM durable_task WHERE expires < statement_timestamp()"
        " AND started_at IS NULL AND quarantined_at IS NULL",
        {},
    ),
    "of dead workers": (
        f"SELECT id FROM durable_task WHERE worker IS NOT NULL AND {store.ORPHANED}",  # noqa: S608
        {"age": 10},
    ),
}


def value(sql: str) -> int:
    """Return the number that *sql* finds."""
    return int(store.run(sql)[0][0] or 0)


def main() -> None:
    """Measure, and print."""
    numbers = [int(word) for word in sys.argv[1:]]
    rows, seconds = [*numbers, *(100_000, 60)[len(numbers) :]]
    ledger.prepare()
    ledger.clear()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE durable_task")
    effect.map_on_commit(range(rows), countdown=3600)
    effect.map_on_commit(range(rows, 2 * rows))
    store.run("ANALYZE durable_task")
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CELERY_IMPORTS": "bench.effects",
        "PYTHONUNBUFFERED": "1",
    }
    with tempfile.TemporaryDirectory() as name:
        roles: list[Role] = []

        def start(role: str, *arguments: str) -> Role:
            log = Path(name, f"{len(roles)}.log")
            roles.append(Role(role, list(arguments), {**env, "HEARTBEAT_DIR": name}, log))
            return roles[-1]

        try:
            workers = [start("worker", "-n", f"{n}@%h", "-c", "2") for n in ("one", "two")]
            for worker in workers:
                worker.wait_for_line(" ready.")
            time.sleep(seconds / 2)
            main_process = psutil.Process(workers[0].process.pid)
            for process in [*main_process.children(recursive=True), main_process]:
                process.kill()
            time.sleep(seconds / 2)
            double = value("SELECT count(*) - count(DISTINCT label) FROM bench_effect")
            done = value("SELECT count(*) FROM bench_effect")
            waiting = value("SELECT count(*) FROM durable_task")
            print(f"{done} done, {double} of them twice, {waiting} wait")
            report()
        finally:
            for role in roles:
                role.stop()


def report() -> None:
    """Print what the statements took, and how the rows were found."""
    found = store.run(
        "SELECT calls, mean_exec_time, max_exec_time, query FROM pg_stat_statements"
        " WHERE query LIKE '%%durable_task%%' AND query NOT LIKE '%%pg_stat%%' AND calls > 5"
        " ORDER BY max_exec_time DESC LIMIT 12"
    )
    for calls, mean, longest, query in found:
        text = " ".join(query.split())[:110]
        print(f"{calls:7} x {mean:8.2f} ms, {longest:8.2f} ms at most: {text}")
    with connection.cursor() as cursor:
        for name, (sql, params) in PLANS.items():
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, SUMMARY OFF) {sql}", params)
            print(f"--- {name}")
            print("\n".join(row[0] for row in cursor.fetchall()))


if __name__ == "__main__":
    main()
