"""What the tasks do: profile a chunk, count it once, merge when all are done, and recover.

The fan-in is a row of the database, not a counter of the broker: a message may be delivered twice
and a worker may die anywhere, and neither changes a total.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Value
from django.db.models.functions import Power
from django.utils import timezone

from . import profile
from .models import Chunk, Report

logger = logging.getLogger(__name__)

#: A chunk that was begun so often and never finished takes its workers down with it.
MAX_ATTEMPTS = 10
#: Without a sign of life for so long, a report's messages count as lost. Longer than a message
#: waits for its second delivery (CELERY_BROKER_TRANSPORT_OPTIONS), or work would be done twice.
STALLED_AFTER = timedelta(minutes=20)
#: Reports that one run resumes, and how often the time until the next one doubles.
RESUME_BATCH = 100
MAX_DOUBLINGS = 6
_WAIT = ExpressionWrapper(
    Value(STALLED_AFTER) * Power(2.0, F("resumes")), output_field=DurationField()
)


def unfinished_chunks(report_id: str | UUID) -> list[int]:
    """Return the ids of the chunks of a report in progress that are not profiled, in order."""
    chunks = Chunk.objects.filter(
        report_id=report_id, report__state=Report.State.PROCESSING, done_at=None
    )
    return list(chunks.order_by("number").values_list("pk", flat=True))


def profile_chunk(chunk_id: int, on_last: Callable[[str], None]) -> None:
    """Profile a chunk and count it.

    :param on_last: called with the report's id, within the transaction that finishes the last
        chunk; called again when a finished chunk is delivered again before the merge, for the
        worker may have died between its commit and its message.
    """
    chunk = (
        Chunk.objects.filter(pk=chunk_id, report__state=Report.State.PROCESSING)
        .select_related("report")
        .only("data", "first_line", "attempts", "report__delimiter", "report__columns")
        .first()
    )
    if chunk is None:
        return
    partial = None
    if chunk.data is not None:
        if chunk.attempts >= MAX_ATTEMPTS:
            fail(chunk.report_id, f"Its lines from {chunk.first_line:,} on could not be profiled.")
            return
        Chunk.objects.filter(pk=chunk_id).update(attempts=chunk.attempts + 1)
        # Outside of any transaction: this takes as long as it takes.
        columns = profile.profile_chunk(
            bytes(chunk.data),
            delimiter=chunk.report.delimiter,
            columns=len(chunk.report.columns),
            limit=settings.REPORTS_EXACT_DISTINCT,
        )
        partial = profile.dump(columns)
    with transaction.atomic():
        # The lock of the report makes those who finish its chunks queue up, so one is the last.
        report = (
            Report.objects.select_for_update(no_key=True)
            .filter(pk=chunk.report_id, state=Report.State.PROCESSING)
            .only("chunks_done", "chunks_total")
            .first()
        )
        if report is None:
            return
        now = timezone.now()
        if partial is not None and Chunk.objects.filter(pk=chunk_id, done_at=None).update(
            partial=partial, data=None, done_at=now
        ):
            report.chunks_done += 1
            report.active_at = now
            report.resumes = 0
            report.save(update_fields=["chunks_done", "active_at", "resumes"])
        if report.chunks_done == report.chunks_total:
            on_last(str(report.pk))


def merge_report(report_id: str | UUID) -> None:
    """Merge a report's partial profiles, in their order, and store the result."""
    report = Report.objects.filter(pk=report_id, state=Report.State.PROCESSING).first()
    if report is None or report.chunks_done != report.chunks_total:
        return
    chunks = Chunk.objects.filter(report_id=report_id).order_by("number")
    merged = profile.Merged()
    # One at a time: only the merged profile and one partial are in memory.
    for chunk_id in list(chunks.values_list("pk", flat=True)):
        partial = Chunk.objects.filter(pk=chunk_id).values_list("partial", flat=True).first()
        if partial is None:
            return  # deleted, or merged by somebody else meanwhile
        merged.add(profile.load(bytes(partial)))
    result = merged.result(report.columns, report.rows)
    with transaction.atomic():
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
    """Let the report of a chunk fail because of *error*."""
    chunk = Chunk.objects.filter(pk=chunk_id).only("report_id", "first_line").first()
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
    return " because of an error in the program; the worker's log has it"


def resume_stalled(start: Callable[[str], object], merge: Callable[[str], object]) -> int:
    """Send the tasks again of reports without a sign of life; return how many there were.

    A report is resumed after a time that doubles with each attempt: its messages may be well and
    only wait behind many others, or for a worker, and each resumption adds to the queue.

    :param start: sends the tasks of a report's unfinished chunks.
    :param merge: sends the merge.
    """
    now = timezone.now()
    stalled = Report.objects.filter(
        state=Report.State.PROCESSING,
        active_at__lt=now - _WAIT,
    )
    count = 0
    for report in list(stalled.order_by("active_at")[:RESUME_BATCH]):
        send = merge if report.chunks_done == report.chunks_total else start
        send(str(report.pk))  # first: if the broker is away, the report is still stalled
        stalled.filter(pk=report.pk).update(
            active_at=now, resumes=min(report.resumes + 1, MAX_DOUBLINGS)
        )
        logger.warning("report %s was stalled; its tasks were sent again", report.pk)
        count += 1
    return count
