"""What the ledger costs: tasks a second with it and without, in turns, in one run.

    python -m bench.ledger [tasks] [rounds]

Each task writes one row. Both ways are the project's own settings (two processes, results in
PostgreSQL, late acknowledgement); the tasks are enqueued first, then a worker is started.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import conftest  # noqa: F401 - starts PostgreSQL and a broker, and sets up Django

# isort: split
from django.core.management import call_command
from django.db import connection, transaction
from django_celery_results.models import TaskResult

from apps.outbox.models import Entry
from tests import outbox_tasks as tasks
from tests.fixtures_worker import Role, purge_queues


def enqueue(durable: bool, count: int) -> float:
    """Call the task *count* times, in transactions of 100; return calls a second."""
    begin = time.monotonic()
    for first in range(0, count, 100):
        with transaction.atomic():
            for number in range(first, min(first + 100, count)):
                if durable:
                    tasks.effect.delay_on_commit(str(number))
                else:
                    tasks.effect.delay(str(number))
    return count / (time.monotonic() - begin)


def work(count: int, folder: Path) -> float:
    """Start a worker; return the tasks a second from its first to its last result."""
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CELERY_IMPORTS": "tests.outbox_tasks",
        "CELERY_WORKER_CONCURRENCY": "2",
        "PYTHONUNBUFFERED": "1",
    }
    worker = Role("worker", [], env, folder / "worker.log")
    try:
        worker.wait_for_line(" ready.")
        done = TaskResult.objects.filter(status="SUCCESS")
        while done.count() < count:
            time.sleep(0.1)
        first, last = (done.order_by(order)[0].date_done for order in ("date_done", "-date_done"))
        return float((count - 1) / (last - first).total_seconds())
    finally:
        worker.stop()


def main() -> None:
    """Print one line for each way, and the ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(tasks.CREATE)
    rates: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for durable in (False, True):
                purge_queues()
                TaskResult.objects.all().delete()
                with connection.cursor() as cursor:
                    cursor.execute("TRUNCATE test_effect")
                calls = enqueue(durable, count)
                rates[durable].append((calls, work(count, Path(folder))))
                assert set(tasks.effects().values()) == {1}
                assert not Entry.objects.exists()
    for durable, name in ((False, "delay()"), (True, "delay_on_commit()")):
        calls = median(rate[0] for rate in rates[durable])
        runs = median(rate[1] for rate in rates[durable])
        print(f"{name:20} {calls:6.0f} calls/s {runs:6.0f} tasks/s")
    ratio = median(r for _, r in rates[True]) / median(r for _, r in rates[False])
    print(f"with the ledger / without: {ratio:.2f} in tasks/s ({count} tasks, {rounds} rounds)")


if __name__ == "__main__":
    main()
