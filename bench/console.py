"""How long the pages of those who run the project take, whatever the tables hold.

    python -m bench.console [ROWS] [ROUNDS] [--write]

Fills the queue and the journal with so many rows each (of 12 tasks in 3 queues, one in 200 failed),
then asks for each page of the console and of the admin, and for the gauges of /metrics, in this
process: Django's client, a real PostgreSQL as it comes. ``--write`` puts the table into
docs/performance.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

from tests.servers import start_postgres, temporary_folder

os.environ["TEST_DATABASE_URL"] = start_postgres(temporary_folder())

import conftest  # noqa: F401 - starts a broker, and sets up Django

# isort: split
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from bench import page
from bench.console_tables import PATHS, fill
from durable.console import snapshot
from durable.metrics import gauges


def timed(ask: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return median and p95 of *ask* in milliseconds, after one that warms up."""
    ask()
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        ask()
        found.append(1000 * (time.perf_counter() - begin))
    return median(found), sorted(found)[int(0.95 * len(found))]


def main() -> None:
    """Fill, ask, print."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    rows, rounds = [*numbers, *(1_000_000, 30)[len(numbers) :]]
    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    task_id = fill(rows)
    snapshot.KEEP = 0.0  # else one answer serves a second
    client = Client()
    root = get_user_model().objects.create_superuser("root")
    client.force_login(root)
    table, before = [], os.getloadavg()[0]
    for name, path in PATHS.items():

        def ask(path: str = path.format(middle=rows // 2, task_id=task_id)) -> None:
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.status_code, answer.headers)

        table.append([name, *(f"{value:.0f}" for value in timed(ask, rounds))])
    table.append(["`/metrics`, the gauges", *(f"{v:.0f}" for v in timed(gauges.measure, rounds))])
    text = page.table(["page", "median, ms", "p95, ms"], table)
    print(text)
    note = (
        f"\n\nMeasured on {page.machine()}: {rows:,} rows that wait and {rows:,} entries, "
        f"{rounds} times each.\n{page.load(before)}"
    )
    if "--write" in sys.argv:
        page.write("bench.console", text + note)


if __name__ == "__main__":
    main()
