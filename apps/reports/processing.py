"""The work of the tasks: profile a chunk, count it once, merge when all are done.

The fan-in is a row of the database, not a counter of the broker: a message may be delivered twice
and a worker may die anywhere, and neither changes a total.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from django.conf import settings
from django.db import OperationalError, transaction
from django.utils import timezone

from durable.queue.results import Quarantined

from .csvstream import records
from .dialect import DELIMITERS, named
from .models import Chunk, Report

logger = logging.getLogger(__name__)


def unfinished_chunks(report_id: str | UUID) -> list[int]:
    """Return the ids of the chunks of a report in progress that are not profiled, in order."""
    chunks = Chunk.objects.filter(
        report_id=report_id, report__state=Report.State.PROCESSING, done_at=None
    )
    return list(chunks.order_by("number").values_list("pk", flat=True))


def profile_chunk(chunk_id: int) -> bytes | None:
    """Return the partial profile of a chunk, ``None`` if it isn't wanted any more.

    Writes nothing, and belongs outside of any transaction: it takes up to seconds.
    """
    from . import profile  # DuckDB takes 40 MB, which web and beat have no use for

    chunk = (
        Chunk.objects.filter(pk=chunk_id, report__state=Report.State.PROCESSING, done_at=None)
        .select_related("report")
        .only("data", "report__delimiter", "report__columns")
        .first()
    )
    if chunk is None or chunk.data is None:
        return None
    delimiter, width = chunk.report.delimiter, len(chunk.report.columns)
    rows = records(bytes(chunk.data), delimiter, width)
    return profile.profile_chunk(rows, width, comma=delimiter == ";")


def store_partial(chunk_id: int, partial: bytes) -> str | None:
    """Store a chunk's partial profile and count the chunk, once.

    :return: the report's id if this was its last chunk.
    :raises TransactionManagementError: called outside of a transaction.
    """
    # The lock of the report makes those who finish its chunks queue up, so one is the last.
    report = (
        Report.objects.select_for_update(no_key=True, of=("self",))
        .filter(chunks=chunk_id, state=Report.State.PROCESSING)
        .only("chunks_done", "chunks_total")
        .first()
    )
    if report is None or not Chunk.objects.filter(pk=chunk_id, done_at=None).update(
        partial=partial, data=None, done_at=timezone.now()
    ):
        return None
    report.chunks_done += 1
    report.save(update_fields=["chunks_done"])
    return str(report.pk) if report.chunks_done == report.chunks_total else None


def merge(report_id: str | UUID) -> dict[str, Any] | None:
    """Return the result of a report, merged from its partial profiles in their order.

    ``None`` if there is nothing to merge: it is deleted, finished, or lacks a chunk.
    """
    from . import profile

    report = Report.objects.filter(pk=report_id, state=Report.State.PROCESSING).first()
    if report is None or report.chunks_done != report.chunks_total:
        return None
    chunks = Chunk.objects.filter(report_id=report_id)

    def read(chunk_id: int) -> bytes:
        return bytes(chunks.values_list("partial", flat=True).get(pk=chunk_id) or b"")

    ids = list(chunks.order_by("number").values_list("pk", flat=True))
    try:
        columns = profile.merge(read, ids, report.rows, settings.REPORTS_EXACT_DISTINCT)
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


def store_result(report_id: str | UUID, result: dict[str, Any]) -> None:
    """Finish a report, and delete its chunks; within the caller's transaction."""
    # The result has the columns' names.
    if _finish(report_id, state=Report.State.DONE, result=result, columns=[]):
        Chunk.objects.filter(report_id=report_id).delete()


def _finish(report_id: str | UUID, **fields: Any) -> int:
    running = Report.objects.filter(pk=report_id, state=Report.State.PROCESSING)
    return running.update(finished_at=timezone.now(), **fields)


def fail(report_id: str | UUID, what: str, error: Exception) -> None:
    """Let a report fail for good because of *error*, with words for its owner; drop its chunks.

    :param what: what could not be done, as the beginning of a sentence.
    """
    reason = f"{what}{_why(error)}."
    with transaction.atomic():
        if _finish(report_id, state=Report.State.FAILED, error=reason):
            Chunk.objects.filter(report_id=report_id).delete()
            logger.error("report %s failed: %s", report_id, reason)


def fail_chunk(chunk_id: int, error: Exception) -> None:
    """Let the report of a chunk fail because of *error*, unless the chunk is done by now."""
    chunk = Chunk.objects.filter(pk=chunk_id, done_at=None).only("report_id", "first_line").first()
    if chunk is not None:
        what = f"The lines from {chunk.first_line:,} on could not be profiled"
        fail(chunk.report_id, what, error)


def _why(error: Exception) -> str:
    if isinstance(error, (SoftTimeLimitExceeded, TimeLimitExceeded)):
        soft = "SOFT_" if isinstance(error, SoftTimeLimitExceeded) else ""
        return f": it took longer than CELERY_TASK_{soft}TIME_LIMIT allows"
    if isinstance(error, TaskRevokedError):
        return ": its task was revoked"
    if isinstance(error, Quarantined):
        return ": each attempt ended with its process, as it does when memory runs out"
    where = "database" if isinstance(error, OperationalError) else "program"
    return f" because of an error in the {where}; the worker's log has it"
