"""This project's worker in its two kinds, for the benchmarks: prefork, and batches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management import call_command
from django.db import connection, transaction

from bench.effects import CREATE, effect
from bench.peers.measure import RATE, WARM, written
from tests.fixtures_worker import Role, purge_queues

#: The label of the task that shows that a worker takes tasks.
READY = -2
PREFORK = 0


def name(batch: int) -> str:
    """Return how a table calls the pool."""
    return f"batches of {batch}" if batch else "prefork"


def prepare() -> None:
    """Create the tables."""
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(CREATE)


def clear() -> None:
    """Forget what earlier tasks have written."""
    purge_queues()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE bench_effect")


@contextmanager
def worker(batch: int, folder: Path) -> Iterator[Role]:
    """Run a worker with two processes."""
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CELERY_IMPORTS": "bench.peers.tasks",
        "CELERY_WORKER_CONCURRENCY": "2",
        "WORKER_BATCH": str(batch),
        "PYTHONUNBUFFERED": "1",
    }
    role = Role("worker", [], env, folder / "worker.log")
    try:
        yield role
    finally:
        role.stop()


def wait(role: Role, done: Callable[[], bool], seconds: float) -> None:
    """Wait until something is done; end if the worker ends, or after *seconds*."""
    end = time.monotonic() + seconds
    while not done():
        if role.process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"not done after {seconds:.0f} s:\n{role.output()[-3000:]}")
        time.sleep(0.05)


def wait_until_ready(role: Role) -> None:
    """Wait until the worker has done a task, and forget that task."""
    effect.delay_on_commit(READY)
    wait(role, lambda: written() > 0, 120)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE bench_effect")


def throughput(batch: int, count: int, folder: Path) -> float:
    """Return tasks a second of a backlog of *count* tasks that write a row."""
    clear()
    for first in range(0, count, 100):
        with transaction.atomic():
            for label in range(first, min(first + 100, count)):
                effect.delay_on_commit(label)
    with worker(batch, folder) as role:
        wait(role, lambda: written() >= count, 60 + count / 20)
    with connection.cursor() as cursor:
        cursor.execute(RATE, [int(count * WARM)])
        return float(cursor.fetchone()[0])
