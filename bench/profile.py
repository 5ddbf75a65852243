"""Where the processor time of a durable task goes: by process and by part.

    python -m bench.profile [TASKS] [--lines] [--write]

The task of bench.ledger, on prefork and in batches of 100. What the processes of a worker do is
sampled (bench.sampling) and scaled to the time that the kernel counts; PostgreSQL's statements are
what pg_stat_statements says, and the rest of its processes' time is what comes with each: to read
it, to plan it, to answer, to commit. ``--lines`` lists the functions; ``--write`` writes the table
into docs/performance.md.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench import ledger  # starts PostgreSQL and a broker, and sets up Django

# isort: split
from bench import counters, page

#: The part of a statement by what stands in it, the first that fits.
STATEMENTS = {
    "picked AS": "take rows",
    "started_at = clock_timestamp()": "begin the attempt",
    "DELETE FROM durable_task": "end: delete the row, result, entry",
    "INTO bench_effect": "the task's own INSERT",
    "": "all other statements",
}
POOLS = {"prefork": ledger.DURABLE, "batches of 100": "durable, batches of 100"}

Profile = dict[tuple[str, str], float]


def measure(way: str, count: int) -> tuple[Profile, Counter[str]]:
    """Return the microseconds of a task by process and part, and the samples of each function."""
    found: Profile = {}
    lines: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_PROFILE"] = folder
        ledger.clear()
        ledger.enqueue(ledger.WAYS[way].call, count)
        measured = ledger.work(
            ledger.WAYS[way], count, Path(folder), "bench.effects,bench.sampling"
        )
        for role in ("main", "pool"):
            parts: Counter[str] = Counter()
            for path in Path(folder).glob(f"{role}-*.json"):
                said = json.loads(path.read_text())
                parts.update(said["parts"])
                lines.update({f"{role} {name}": n for name, n in said["lines"].items()})
            for name, times in parts.items():
                found[role, name] = 1000 * measured[role] * times / parts.total()
    rest = 1000 * measured["postgres"]
    for _, ms, query in counters.statements(1):
        name = next(name for piece, name in STATEMENTS.items() if piece in query)
        found["PostgreSQL", name] = found.get(("PostgreSQL", name), 0.0) + 1000 * ms / count
        rest -= 1000 * ms / count
    found["PostgreSQL", "read, plan, answer, commit"] = rest
    return found, lines


def shares(profile: Profile) -> Profile:
    """Return the parts in per cent of the whole: unlike the times, they hardly depend on load."""
    return {part: 100 * spent / sum(profile.values()) for part, spent in profile.items()}


def main() -> None:
    """Measure, and print or write the table."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    count, before = numbers[0] if numbers else 6000, os.getloadavg()[0]
    ledger.prepare()
    profiles = {}
    for pool, way in POOLS.items():
        profiles[pool], lines = measure(way, count)
        if "--lines" in sys.argv:
            print(pool)
            for name, times in lines.most_common(60):
                print(f"  {100 * times / lines.total():5.1f} % {name}")
    names = {"main": "main process", "pool": "process of the pool"}
    rows = []
    parts = {part for profile in profiles.values() for part in profile}
    most = {part: max(shares(p).get(part, 0.0) for p in profiles.values()) for part in parts}
    for role in ("main", "pool", "PostgreSQL"):
        for part in sorted((p for p in parts if p[0] == role), key=lambda part: -most[part]):
            if most[part] >= 0.5:
                found = [shares(profile).get(part, 0.0) for profile in profiles.values()]
                rows.append([names.get(role, role), part[1], *(f"{one:.0f} %" for one in found)])
    text = page.table(["where", "what", *POOLS], rows)
    print(text)
    if "--write" in sys.argv:
        page.write(
            "bench.profile",
            f"{text}\n\nMeasured on {page.machine()}: {count:,} tasks. {page.load(before)}",
        )


if __name__ == "__main__":
    main()
