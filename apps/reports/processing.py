"""What the tasks do: profile a chunk, count it once, merge when all are done.

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

from . import profile
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
    chunk = (
        Chunk.objects.filter(pk=chunk_id, report__state=Report.State.PROCESSING, done_at=None)
        .select_related("report")
        .only("data", "report__delimiter", "report__columns")
        .first()
    )
    if chunk is None or chunk.data is None:
        return None
    columns = profile.profile_chunk(
        bytes(chunk.data),
        delimiter=chunk.report.delimiter,
        columns=len(chunk.report.columns),
        limit=settings.REPORTS_EXACT_DISTINCT,
    )
    return profile.dump(columns)


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
    report = Report.objects.filter(pk=report_id, state=Report.State.PROCESSING).first()
    if report is None or report.chunks_done != report.chunks_total:
        return None
    chunks = Chunk.objects.filter(report_id=report_id).order_by("number")
    merged = profile.Merged()
    # One at a time: only the merged profile and one partial are in memory.
    for chunk_id in list(chunks.values_list("pk", flat=True)):
        partial = Chunk.objects.filter(pk=chunk_id).values_list("partial", flat=True).first()
        if partial is None:
            return None  # deleted, or merged by somebody else meanwhile
        merged.add(profile.load(bytes(partial)))
    return merged.result(report.columns, report.rows)


def store_result(report_id: str | UUID, result: dict[str, Any]) -> None:
    """Finish a report, and delete its chunks; within the caller's transaction."""
    if Report.objects.filter(pk=report_id, state=Report.State.PROCESSING).update(
        state=Report.State.DONE, result=result, finished_at=timezone.now()
    ):
        Chunk.objects.filter(report_id=report_id).delete()


def fail(report_id: str | UUID, reason: str) -> None:
    """Let a report fail for good, and drop its chunks. *reason* is a sentence for its owner."""
    with transaction.atomic():
        if Report.objects.filter(pk=report_id, state=Report.State.PROCESSING).update(
            state=Report.State.FAILED, error=reason, finished_at=timezone.now()
        ):
            Chunk.objects.filter(report_id=report_id).delete()
            logger.error("report %s failed: %s", report_id, reason)


def fail_chunk(chunk_id: int, error: Exception) -> None:
    """Let the report of a chunk fail because of *error*, unless the chunk is done by now."""
    chunk = Chunk.objects.filter(pk=chunk_id, done_at=None).only("report_id", "first_line").first()
    if chunk is not None:
        fail(
            chunk.report_id,
            f"The lines from {chunk.first_line:,} on could not be profiled{_why(error)}.",
        )


def fail_report(report_id: str, error: Exception) -> None:
    """Let a report fail because of *error* in a task of its own."""
    fail(report_id, f"The profile could not be put together{_why(error)}.")


def _why(error: Exception) -> str:
    if isinstance(error, SoftTimeLimitExceeded):
        return ": it took longer than CELERY_TASK_SOFT_TIME_LIMIT allows"
    if isinstance(error, TimeLimitExceeded):
        return ": it took longer than CELERY_TASK_TIME_LIMIT allows"
    if isinstance(error, TaskRevokedError):
        return ": its task was revoked"
    if isinstance(error, OperationalError):
        return " because of an error in the database; the worker's log has it"
    if isinstance(error, Quarantined):
        return (
            f": each of {settings.DURABLE_MAX_ATTEMPTS} attempts ended with its process, as it "
            "does when memory runs out"
        )
    return " because of an error in the program; the worker's log has it"
