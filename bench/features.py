"""What each way to call a task costs: calls and tasks a second, with it and without it.

    python -m bench.features [TASKS]

All take turns in one run, so that they meet the same machine: the tasks are called in transactions
of 100, then a worker of two processes runs them. Each writes one row.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import ledger  # first: it starts the servers
from bench.effects import effect
from durable.queue.models import Seen

Call = Callable[[int], object]


def with_key(keys: int, label: int) -> object:
    """Call the task with one of so many keys, one at once of each."""
    return effect.apply_async_on_commit([label], concurrency_key=f"key-{label % keys}")


CALLS: dict[str, Call] = {
    "none": effect.delay_on_commit,
    "unique, waiting": lambda label: effect.unique(label).delay_on_commit(label),
    "unique, unfinished": lambda label: effect.unique(
        label, while_="unfinished"
    ).delay_on_commit(label),
    "dedupe": lambda label: effect.apply_async_on_commit([label], dedupe=label),
    "one of 1,000 keys, one at once": partial(with_key, 1000),
    "one of 10 keys, one at once": partial(with_key, 10),
}  # fmt: skip


def main() -> None:
    """Measure, and print a table."""
    count = int(next(iter(sys.argv[1:]), "1500"))
    ledger.prepare()
    print(f"{'':32}{'calls/s':>9}{'alone':>9}{'batch':>9}  tasks/s")
    with tempfile.TemporaryDirectory() as folder:
        for name, call in CALLS.items():
            found = []
            for batch in (0, 100):
                ledger.clear()
                Seen.objects.all().delete()
                calls = ledger.enqueue(call, count)
                way = ledger.Way(call, batch=batch)
                found.append(ledger.work(way, count, Path(folder))["tasks/s"])
            print(f"{name:32}{calls:9.0f}{found[0]:9.0f}{found[1]:9.0f}", flush=True)
    print(f"{count} tasks, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
