"""What each feature costs a task that uses it, and a task that does not.

    python -m bench.features [TASKS] [ROUNDS] [--write]

All take turns in one run, so that they meet the same machine: the tasks are called in transactions
of 100, then a worker of two processes runs them, each alone and in batches of 100. Each writes one
row. The last part calls a task for each row of a queryset, in a process of its own, whose memory is
measured. ``--write`` writes docs/performance.md.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from unittest import mock

from bench import ledger, page  # first: the ledger starts the servers

# isort: split
from django.db import connection, connections
from django.utils import timezone

from bench.effects import effect
from bench.featured import asking, djangos, paced, telling
from durable.queue.limits import Limit
from durable.queue.models import Pace, Seen, Task

Call = Callable[[int], object]

#: Rows that wait for a place, beside tasks that have nothing to do with them.
BESIDE = 100_000
#: Rows of a queryset.
FEW, MANY = 1_000, 200_000


def with_key(keys: int, label: int) -> object:
    """Call the task with one of so many keys, one at once of each."""
    return effect.apply_async_on_commit([label], concurrency_key=f"key-{label % keys}")


NONE, OTHERS = "none", f"none, beside {BESIDE:,} rows of a key that has no place"
CALLS: dict[str, Call] = {
    NONE: effect.delay_on_commit,
    OTHERS: effect.delay_on_commit,
    "Django's `enqueue()`": djangos.enqueue,
    "unique, waiting": lambda label: effect.unique(label).delay_on_commit(label),
    "unique, unfinished": lambda label: effect.unique(
        label, while_="unfinished"
    ).delay_on_commit(label),
    "dedupe": lambda label: effect.apply_async_on_commit([label], dedupe=label),
    "a rate, 1,000 keys": paced.delay_on_commit,
    "one at once of 1,000 keys": partial(with_key, 1000),
    "one at once of 10 keys": partial(with_key, 10),
    "`progress()`, twice": telling.delay_on_commit,
    "`cancelled()`, once": asking.delay_on_commit,
}  # fmt: skip


def put_beside() -> None:
    """Write rows of a key whose rate gives no place for a day."""
    with mock.patch.object(effect, "limit", Limit(rate="1/h"), create=True):
        effect.map_on_commit(range(BESIDE), concurrency_key="beside")
    Pace.objects.create(key="beside", since_at=timezone.now() + timedelta(days=1))


def run(name: str, call: Call, count: int, batch: int, folder: Path) -> ledger.Measured:
    """Call the task, let a worker do it, and return what that took."""
    ledger.clear()
    for model in (Seen, Pace, Task):
        model.objects.all().delete()
    if name == OTHERS:
        put_beside()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE durable_task")
    calls = ledger.enqueue(call, count)
    way = ledger.Way(call, batch=batch)
    measured = ledger.work(way, count, folder, "bench.effects,bench.featured")
    cpu = sum(measured[part] for part in ("main", "pool", "postgres"))
    return {"calls/s": calls, "tasks/s": measured["tasks/s"], "cpu": cpu}


def call_all(count: int) -> tuple[float, float]:
    """Call a task for each of so many rows; return MB that this took, and rows a second."""
    connections.close_all()
    effect.map_on_commit(Seen.objects.all()[:100])
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert effect.map_on_commit(Seen.objects.all()) == count
    seconds = time.monotonic() - begin
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, count / seconds


def of_queryset(count: int) -> tuple[float, float]:
    """Return what ``call_all()`` does, of a process of its own."""
    Seen.objects.all().delete()
    Task.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO durable_seen (task, key, task_id, until)"
            " SELECT 'x', n, n, now() FROM generate_series(1, %s) AS n", [count],
        )  # fmt: skip
    connections.close_all()
    with get_context("fork").Pool(1) as pool:
        return pool.apply(call_all, (count,))


def main() -> None:
    """Measure, and print or write a table."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    count, rounds = [*numbers, *(1000, 2)[len(numbers) :]]
    load = os.getloadavg()[0]
    ledger.prepare()
    found: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        run(NONE, CALLS[NONE], count, 0, Path(folder))  # the first one meets cold caches
        for _ in range(rounds):
            for name, call in CALLS.items():
                for batch in (0, 100):
                    for key, value in run(name, call, count, batch, Path(folder)).items():
                        found[name, batch, key].append(value)
    rows = []
    for name in CALLS:
        calls = median(found[name, 0, "calls/s"] + found[name, 100, "calls/s"])
        line = [name, f"{calls:,.0f}"]
        for batch in (0, 100):
            rate, cpu = (median(found[name, batch, key]) for key in ("tasks/s", "cpu"))
            line += [f"{rate:,.0f}", f"{cpu:.2f}", f"{cpu / median(found[NONE, batch, 'cpu']):.2f}"]
        rows.append(line)
    head = ["feature", "calls/s", "prefork: tasks/s", "CPU ms", "×", "batches of 100: tasks/s",
            "CPU ms", "×"]  # fmt: skip
    memory = {n: of_queryset(n) for n in (FEW, MANY)}
    text = f"""{page.table(head, rows)}

`map_on_commit()` of a queryset: {memory[MANY][1]:,.0f} calls a second; for {MANY:,} rows it took
{memory[MANY][0]:.1f} MB more than before, for {FEW:,} rows {memory[FEW][0]:.1f} MB.

Measured on {page.machine()}: the median of {rounds} rounds in turn, {count} tasks for each figure.
× is the processor time, of the worker and of PostgreSQL, beside that of a task with no feature.
{page.load(load)}"""
    print(text)
    if "--write" in sys.argv:
        page.write("bench.features", text)


if __name__ == "__main__":
    main()
