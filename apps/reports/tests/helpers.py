"""What the tests of reports share: an upload, and a worker made by hand."""

from __future__ import annotations

from typing import Any

from kombu.utils.json import loads

from apps.reports import tasks
from apps.reports.models import Report
from apps.reports.uploads import start_upload
from bench.csv_files import flights_csv
from durable.queue.models import Task

__all__ = ["called", "flights_csv", "run", "upload", "work"]


def upload(owner: Any, data: bytes, key: str | None = None, piece: int = 64 * 1024) -> Report:
    """Upload *data* in pieces, as a request brings it."""
    incoming = start_upload(owner, "table.csv", key=key)
    try:
        for start in range(0, len(data), piece):
            incoming.write(data[start : start + piece])
        return incoming.finish()
    except Exception:
        incoming.abort()
        raise


def run(task: Any, *arguments: Any) -> None:
    """Run a task in this process, and let its errors through."""
    task.apply(args=arguments, throw=True)


def called() -> list[tuple[str, list[Any]]]:
    """Return which tasks wait with which arguments, in the order in which they were called."""
    rows = Task.objects.order_by("id").values_list("task", "body")
    return [(task, loads(body)[0]) for task, body in rows]


def work(report: Report) -> Report:
    """Run the report's tasks in this process, as a worker would, and return it as it is then."""
    for number in range(report.chunks_total):
        run(tasks.profile_chunk, str(report.pk), number)
    run(tasks.merge_report, str(report.pk))
    report.refresh_from_db()
    return report
