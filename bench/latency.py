"""From the return of ``delay_on_commit()`` to the committed effect, at some rates of calls.

    python -m bench.latency [--batch 100] [--rates 10 50 150] [--seconds 20] [--rounds 3]
                            [--backlog 3000] [--write]

Prefork and batches take turns. First a backlog shows how many tasks a second the pool does; half of
that is the last rate. One process calls, each call in a transaction of its own, at random moments
(Poisson), whether or not the earlier ones are done. When an effect is committed, PostgreSQL says
(``track_commit_timestamp``); the clock is the same one. Prints the percentiles over all rounds, and
the rate that the caller really had. ``--write`` writes docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean, median, quantiles

from tests.servers import start_postgres, temporary_folder

os.environ["TEST_DATABASE_URL"] = start_postgres(temporary_folder(), "track_commit_timestamp=on")

import conftest  # noqa: F401 - starts a broker, and sets up Django

# isort: split
from django.db import connection

from bench import page, pools
from bench.effects import effect
from bench.peers.measure import written
from tests.fixtures_worker import Role

COMMITTED = "SELECT label, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM bench_effect"
HALF = "half load"

Key = tuple[int, str]  # the pool, and which rate


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency")
    parser.add_argument("--batch", type=int, default=100, help="the size of the batches")
    parser.add_argument("--rates", type=float, nargs="*", default=[10, 50, 150], help="calls/s")
    parser.add_argument("--seconds", type=float, default=20, help="for each rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backlog", type=int, default=3000, help="tasks that show the throughput")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args()


def call(rate: float, seconds: float, seed: int) -> tuple[float, list[float]]:
    """Call at *rate*; return the rate that it was, and when each call returned."""
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    returned: list[float] = []
    begin = due = time.time()
    while due < begin + seconds and time.time() < begin + 2 * seconds:
        time.sleep(max(0.0, due - time.time()))
        effect.delay_on_commit(len(returned))
        returned.append(time.time())
        due += chance.expovariate(rate)
    return len(returned) / (time.time() - begin), returned


def latencies(role: Role, returned: list[float]) -> list[float]:
    """Return the milliseconds of each call, once all effects are committed."""
    pools.wait(role, lambda: written() >= len(returned), 120)
    with connection.cursor() as cursor:
        cursor.execute(COMMITTED)
        committed = {label: float(at) for label, at in cursor.fetchall()}
        cursor.execute("TRUNCATE bench_effect")
    return [1000 * (committed[label] - at) for label, at in enumerate(returned)]


def main() -> None:
    """Measure, and print or write the table."""
    asked = arguments()
    pools.prepare()
    load = os.getloadavg()[0]
    found: dict[Key, list[float]] = defaultdict(list)
    really: dict[Key, list[float]] = defaultdict(list)
    full: dict[int, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for turn in range(asked.rounds):
            for batch in (pools.PREFORK, asked.batch):
                full[batch].append(pools.throughput(batch, asked.backlog, folder))
                rates = {f"{rate:g}": rate for rate in asked.rates}
                rates[HALF] = median(full[batch]) / 2
                pools.clear()
                with pools.worker(batch, folder) as role:
                    pools.wait_until_ready(role)
                    for which, rate in rates.items():
                        rate, returned = call(rate, asked.seconds, turn)
                        really[batch, which].append(rate)
                        found[batch, which] += latencies(role, returned)
    rows = []
    for (batch, which), values in sorted(found.items(), key=lambda item: item[0][0]):
        cuts = quantiles(values, n=100, method="inclusive")
        said = f"{HALF}, of {median(full[batch]):.0f} tasks/s" if which == HALF else which
        numbers = [f"{value:.1f}" for value in (cuts[49], cuts[98], max(values))]
        rows.append([pools.name(batch), said, f"{mean(really[batch, which]):.0f}", *numbers])
    head = ["pool", "calls/s", "really", "p50, ms", "p99, ms", "longest, ms"]
    text = f"""{page.table(head, rows)}

Measured on {page.machine()}: {asked.rounds} rounds in turn of {asked.seconds:g} s for each rate.
{page.load(load)}"""
    print(text)
    if asked.write:
        page.write("bench.latency", text)


if __name__ == "__main__":
    main()
