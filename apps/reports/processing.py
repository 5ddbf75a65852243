"""The work of the tasks: profile a chunk, count it once, merge when all are done.

The fan-in is a row of the database, not a counter of the broker: a message may be delivered twice
and a worker may die anywhere, and neither changes a total.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from durable.queue.results import Quarantined

from .csvstream import records
from .dialect import DELIMITERS, named
from .models import Chunk, Report

logger = logging.getLogger(__name__)

#: Why a report failed, in words for its owner.
REASONS: dict[type[Exception], str] = {
    SoftTimeLimitExceeded: "it took longer than CELERY_TASK_SOFT_TIME_LIMIT allows",
    TimeLimitExceeded: "it took longer than CELERY_TASK_TIME_LIMIT allows",
    TaskRevokedError: "its task was revoked",
    Quarantined: "each attempt ended with its process, as it does when memory runs out",
    OperationalError: "there was an error in the database; the worker's log has it",
    Exception: "there was an error in the program; the worker's log has it",
}


def _processing(report_id: str) -> QuerySet[Report]:
    return Report.objects.filter(pk=report_id, state=Report.State.PROCESSING)


def profile_chunk(report_id: str, number: int) -> bytes | None:
    """Return the partial profile of a chunk, ``None`` if it isn't wanted any more.

    Writes nothing, and belongs outside of any transaction: it takes up to seconds.
    """
    from . import profile  # DuckDB takes 40 MB, which web and beat have no use for

    report = _processing(report_id).only("delimiter", "columns").first()
    chunk = Chunk.objects.filter(report_id=report_id, number=number).only("data").first()
    if report is None or chunk is None or chunk.data is None:
        return None
    width = len(report.columns)
    rows = records(bytes(chunk.data), report.delimiter, width)
    return profile.profile_chunk(rows, width, comma=report.delimiter == ";")


def store_partial(report_id: str, number: int, partial: bytes) -> bool:
    """Store a chunk's partial profile and count the chunk, once; return whether it was the last."""
    # The lock of the report makes those who finish its chunks queue up, so one is the last.
    report = _processing(report_id).select_for_update(no_key=True).defer("columns").first()
    chunk = Chunk.objects.filter(report_id=report_id, number=number, partial=None)
    if report is None or not chunk.update(partial=partial, data=None):
        return False
    report.chunks_done += 1
    report.save(update_fields=["chunks_done"])
    return report.chunks_done == report.chunks_total


def merge(report_id: str) -> dict[str, Any] | None:
    """Return the result of a report, merged from its partial profiles in their order.

    ``None`` if there is nothing to merge: it is deleted, finished, or lacks a chunk.
    """
    from . import profile

    report = _processing(report_id).first()
    if report is None or report.chunks_done != report.chunks_total:
        return None
    partials = Chunk.objects.filter(report_id=report_id).values_list("partial", flat=True)

    def read(number: int) -> bytes:
        return bytes(partials.get(number=number) or b"")

    limit = settings.REPORTS_EXACT_DISTINCT
    try:
        columns = profile.merge(read, report.chunks_total, report.rows, limit)
    except Chunk.DoesNotExist:  # deleted, or merged by another one meanwhile
        return None
    kept = len(columns)
    while kept > 1 and not report.columns[kept - 1] and not columns[kept - 1]["count"]:
        kept -= 1  # each line ends in a separator
    names, notes = named(report.columns[:kept])
    if report.delimiter != ",":
        separators = DELIMITERS.get(report.delimiter, f"“{report.delimiter}”")
        notes.insert(0, f"The columns are separated by {separators}.")
    if left_out := len(columns) - kept:
        notes.append(f"Left out at the end, without a name and a value: {left_out}.")
    for name, column in zip(names, columns[:kept], strict=True):
        column["name"] = name
        notes += [f"“{name}” {remark}" for remark in column.pop("remarks")]
    return {"rows": report.rows, "columns": columns[:kept], "notes": notes}


def finish(report_id: str, **fields: Any) -> bool:
    """Finish a report in progress, and delete its chunks; return whether there was one."""
    if not _processing(report_id).update(finished_at=timezone.now(), **fields):
        return False
    Chunk.objects.filter(report_id=report_id).delete()
    return True


def fail(report_id: str, error: Exception) -> None:
    """Let a report fail for good because of *error*, with words for its owner."""
    why = next(words for kind, words in REASONS.items() if isinstance(error, kind))
    reason = f"The file could not be profiled: {why}."
    with transaction.atomic():
        if finish(report_id, state=Report.State.FAILED, error=reason):
            logger.error("report %s failed: %s", report_id, reason)
