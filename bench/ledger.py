"""The price of a row: tasks a second with it, without it, and with the documentation's defaults.

    python -m bench.ledger [TASKS] [ROUNDS] [--journal] [--statements]

Each task writes one row. All take turns in one run, so that they meet the same machine: two
processes each, the tasks are enqueued first, then a worker is started; one of durable tasks that
takes each alone, and those that take batches. PostgreSQL is as it comes, and waits for the disk at
each commit. Prints the median of the rounds: calls and tasks a second, and for each task the
statements, commits and bytes of PostgreSQL's log, and the milliseconds of processor time of the
worker's main process, of its pool and of PostgreSQL (the most reliable figures on a machine that
has something else to do); then what the journal costs. ``--journal`` measures what that needs
alone, ``--statements`` lists what was run.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.servers import start_postgres, temporary_folder

os.environ["TEST_DATABASE_URL"] = start_postgres(
    temporary_folder(), "shared_preload_libraries=pg_stat_statements"
)

import conftest  # noqa: F401 - starts a broker, and sets up Django

# isort: split
import psutil
from django.core.management import call_command
from django.db import connection, transaction
from django_celery_results.models import TaskResult

from bench import counters
from bench.effects import CREATE, effect
from durable.queue.models import Task
from tests.fixtures_worker import Role, purge_queues

Measured = dict[str, float]


def on_commit(label: int) -> None:
    """Call the task as the documentation says: after the commit, by plain Celery."""
    transaction.on_commit(partial(effect.delay, label))


class Way(NamedTuple):
    """How tasks are called, and by what worker they are run."""

    call: Callable[[int], object]
    command: tuple[str, ...] = ("worker",)
    batch: int = 0
    #: Days that the journal keeps; 0: there is none.
    history: int = 7


DOCUMENTED, PLAIN, DURABLE = "the documentation's defaults", "delay()", "durable, each alone"
WAYS = {
    # An unknown role is run as it stands.
    DOCUMENTED: Way(on_commit, ("celery", "-A", "bench.documented", "worker", "-l", "INFO")),
    PLAIN: Way(effect.delay),
    DURABLE: Way(effect.delay_on_commit),
    f"{DURABLE}, no journal": Way(effect.delay_on_commit, history=0),
    **{f"durable, batches of {n}": Way(effect.delay_on_commit, batch=n) for n in (1, 10, 100)},
    "batches of 100, no journal": Way(effect.delay_on_commit, batch=100, history=0),
}
#: The ways that differ by the journal alone.
JOURNAL = {
    DURABLE: f"{DURABLE}, no journal", "durable, batches of 100": "batches of 100, no journal",
}  # fmt: skip


def enqueue(call: Callable[[int], object], count: int) -> float:
    """Call the task *count* times, in transactions of 100; return calls a second."""
    begin = time.monotonic()
    for first in range(0, count, 100):
        with transaction.atomic():
            for number in range(first, min(first + 100, count)):
                call(number)
    return count / (time.monotonic() - begin)


def server() -> psutil.Process:
    """Return PostgreSQL's main process."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        parent = psutil.Process(cursor.fetchone()[0]).parent()
    assert parent is not None
    return parent


def processors(worker: psutil.Process, postgres: psutil.Process) -> Measured:
    """Return the seconds of processor time that each part has used so far."""
    return {
        "main": counters.cpu(worker),
        "pool": counters.cpu_of_children(worker),
        "postgres": counters.cpu_of_children(postgres),
    }


def work(way: Way, count: int, folder: Path, imports: str = "bench.effects") -> Measured:
    """Start a worker, let it do everything, and return what a task costs."""
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CELERY_IMPORTS": imports,
        "CELERY_WORKER_CONCURRENCY": "2",
        "WORKER_BATCH": str(way.batch),
        "HISTORY_DAYS": str(way.history),
        "PYTHONUNBUFFERED": "1",
    }
    postgres = server()
    worker = Role(way.command[0], list(way.command[1:]), env, folder / "worker.log")
    try:
        worker.wait_for_line(" ready.")
        main = psutil.Process(worker.process.pid)
        counters.forget_statements()
        before = counters.postgres()
        used = processors(main, postgres)
        done = TaskResult.objects.filter(status="SUCCESS")
        end = time.monotonic() + 30 + count / 30
        while (number := done.count()) < count:
            if worker.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{number} of {count} tasks are done:\n{worker.output()[-3000:]}")
            time.sleep(0.25)
        cpu = {name: value - used[name] for name, value in processors(main, postgres).items()}
        after = counters.postgres()
    finally:
        worker.stop()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT label), extract(epoch FROM max(at) - min(at))"
            " FROM bench_effect"
        )
        effects, labels, seconds = cursor.fetchone()
    assert (effects, labels) == (count, count)
    assert not Task.objects.filter(key=None).exists()
    spent: Counter[str] = after - before
    return {
        "tasks/s": (count - 1) / float(seconds),
        "backends": 1000 * spent["backends"] / count,
        **{name: spent[name] / count for name in ("statements", "commits", "wal_bytes", "fsyncs")},
        **{name: 1000 * seconds / count for name, seconds in cpu.items()},
        "hot": spent["hot_updates"] / max(1, spent["updates"]),
    }


def prepare() -> None:
    """Create the tables."""
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(CREATE)
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


def clear() -> None:
    """Leave nothing of an earlier round."""
    purge_queues()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE bench_effect, django_celery_results_taskresult, durable_journal")


COLUMNS = {
    "calls/s": "{:8.0f}", "tasks/s": "{:8.0f}", "backends": "{:9.0f}", "statements": "{:11.1f}",
    "commits": "{:8.1f}", "fsyncs": "{:7.1f}", "wal_bytes": "{:10.0f}", "main": "{:6.2f}",
    "pool": "{:6.2f}", "postgres": "{:9.2f}", "hot": "{:5.2f}",
}  # fmt: skip


def journal(medians: dict[str, Measured]) -> None:
    """Print what the journal costs a task."""
    for kept, none in JOURNAL.items():
        wal, *cpu = (medians[kept][key] - medians[none][key]
                     for key in ("wal_bytes", "main", "pool", "postgres"))  # fmt: skip
        whole = sum(medians[kept][key] for key in ("main", "pool", "postgres"))
        print(f"the journal, {kept}: {wal:+.0f} of {medians[kept]['wal_bytes']:.0f} bytes of WAL, "
              f"{sum(cpu):+.2f} of {whole:.2f} ms CPU (PostgreSQL {cpu[2]:+.2f})")  # fmt: skip


def main() -> None:
    """Measure, and print a table and the ratios."""
    only = {*JOURNAL, *JOURNAL.values()} if "--journal" in sys.argv else {*WAYS}
    ways = {name: way for name, way in WAYS.items() if name in only}
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    count, rounds = [*numbers, *(1500, 3)[len(numbers) :]]
    prepare()
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, way in ways.items():
                clear()
                calls = enqueue(way.call, count)
                measured = work(way, count, Path(folder))
                found[name].append({"calls/s": calls, **measured})
                if "--statements" in sys.argv:
                    print(name)
                    for times, ms, query in counters.statements(count // 2):
                        text = " ".join(query.split())[:150]
                        print(f"  {times / count:5.2f} x {ms / times:7.3f} ms {text}")
    medians = {
        name: {key: median(one[key] for one in all_) for key in COLUMNS}
        for name, all_ in found.items()
    }
    print(f"{'':30}" + " ".join(f"{key:>{len(form.format(0))}}" for key, form in COLUMNS.items()))
    for name, values in medians.items():
        print(f"{name:30}" + " ".join(form.format(values[k]) for k, form in COLUMNS.items()))
    rate = {name: values["tasks/s"] for name, values in medians.items()}
    journal(medians)
    for name in rate:
        if name.startswith("durable") and DOCUMENTED in rate:
            print(
                f"{name}: {rate[name] / rate[DOCUMENTED]:.2f} of the documentation's, "
                f"{rate[name] / rate[PLAIN]:.2f} of delay(), in tasks/s"
            )
    print(f"{count} tasks, {rounds} rounds, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
