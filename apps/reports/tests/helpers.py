"""What the tests of reports share: an upload, and a worker made by hand."""

from __future__ import annotations

from typing import Any

from apps.reports import tasks
from apps.reports.models import Chunk, Report
from apps.reports.services import start_upload
from bench.csv_files import flights_csv

__all__ = ["flights_csv", "upload", "work"]


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
