"""A long backlog: what the relay, the search for losses and beat cost while many rows wait.

    python -m bench.backlog [ROWS] [SECONDS]

ROWS (100,000) tasks are sent by the relay of a real beat and wait in the broker, and as many more
wait in the table for a time that is an hour away. Then two workers take from the queue for SECONDS
(60); halfway, one of them is killed with what it holds. Prints how many messages were sent beyond
one for each row, the longest and the mean time of each of the relay's statements, the plans of
those that look through waiting rows, and beat's memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from bench import ledger  # starts PostgreSQL and a broker, and sets up Django

# isort: split
import psutil
from django.db import connection

from bench import procfs
from durable.queue import store
from tests.fixtures_worker import Role

#: Rows as delay_on_commit() writes them, for a broker that was away.
INSERT = """INSERT INTO durable_task (task_id, task, queue, priority, body, due_at, sends, starts,
        reported, history, error)
    SELECT gen_random_uuid(), 'bench.effects.effect', 'default', 0, '[[' || n || '], {}, {}]',
        clock_timestamp() + %s * interval '1 s', 0, 0, 0, '[]', ''
    FROM generate_series(%s, %s) AS n"""

#: Each statement that looks through the rows, with what fits its parameters.
PLANS = {
    "due": "SELECT id FROM durable_task WHERE due_at <= statement_timestamp()"
    " ORDER BY due_at LIMIT 500 FOR UPDATE SKIP LOCKED",
    "expired": "SELECT id FROM durable_task WHERE expires < statement_timestamp()"
    " AND worker IS NULL AND quarantined_at IS NULL",
    "of dead workers": "SELECT id FROM durable_task WHERE worker IS NOT NULL"
    " AND started_at < clock_timestamp() - interval '10 s'"
    " AND worker NOT IN (SELECT id FROM durable_worker)",
    "overtaken": f"SELECT id FROM durable_task WHERE {store.WAITING} AND queue = 'default'"  # noqa: S608
    " AND priority = 0 AND sent_at < statement_timestamp() - interval '1 day'"
    " AND NOT id = ANY (SELECT unnest(held) FROM durable_worker)",
}


def value(sql: str) -> int:
    """Return the number that *sql* finds."""
    return int(store.run(sql)[0][0] or 0)


def wait_until_sent(rows: int) -> float:
    """Wait until the relay has sent all that is due; return the seconds it took."""
    begin = time.monotonic()
    while value("SELECT count(*) FROM durable_task WHERE sent_at IS NULL AND sends < 2") > rows:
        time.sleep(1)
    return time.monotonic() - begin


def main() -> None:
    """Measure, and print."""
    numbers = [int(word) for word in sys.argv[1:]]
    rows, seconds = [*numbers, *(100_000, 60)[len(numbers) :]]
    ledger.prepare()
    ledger.clear()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE durable_task")
    store.run(INSERT, [3600, 1, rows])
    store.run(INSERT, [0, rows + 1, 2 * rows])
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
            beat = start("beat")
            beat.wait_for_line("beat: Starting...")
            begun = procfs.resident(beat.process.pid)
            took = wait_until_sent(rows)
            print(f"{rows} rows sent by the relay in {took:.0f} s, as many wait for their time")
            workers = [start("worker", "-n", f"{n}@%h", "-c", "2") for n in ("one", "two")]
            for worker in workers:
                worker.wait_for_line(" ready.")
            time.sleep(seconds / 2)
            main_process = psutil.Process(workers[0].process.pid)
            for process in [*main_process.children(recursive=True), main_process]:
                process.kill()
            time.sleep(seconds / 2)
            done = value("SELECT count(*) FROM bench_effect")
            double = done - value("SELECT count(DISTINCT label) FROM bench_effect")
            extra = value("SELECT sum(sends - 1) FROM durable_task WHERE sends > 1")
            waiting = value("SELECT count(*) FROM durable_task")
            print(
                f"{done} done, {double} of them twice, {waiting} wait; "
                f"{extra} messages more than one a row ({100 * extra / rows:.3f} %)"
            )
            peak = procfs.peak(beat.process.pid)
            print(f"beat: {begun:.0f} MB at first, {peak:.0f} MB at most")
            report()
        finally:
            for role in roles:
                role.stop()


def report() -> None:
    """Print what the statements took, and how the rows were found."""
    found = store.run(
        "SELECT calls, mean_exec_time, max_exec_time, query FROM pg_stat_statements"
        " WHERE query LIKE '%%outbox_%%' AND query NOT LIKE '%%pg_stat%%' AND calls > 5"
        " ORDER BY max_exec_time DESC LIMIT 12"
    )
    for calls, mean, longest, query in found:
        text = " ".join(query.split())[:110]
        print(f"{calls:7} x {mean:8.2f} ms, {longest:8.2f} ms at most: {text}")
    with connection.cursor() as cursor:
        for name, sql in PLANS.items():
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, SUMMARY OFF) {sql}")
            print(f"--- {name}")
            print("\n".join(row[0] for row in cursor.fetchall()))


if __name__ == "__main__":
    main()
