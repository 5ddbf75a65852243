"""The tasks of reports: thin, each takes an id, and each may run twice or too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task
from django.db import OperationalError

from proj.task import Task

from . import expiry, processing


class ReportTask(Task):
    """A task that works on one report: a short fault of the database is waited out.

    The report holds its state, so there is no result to keep.
    """

    abstract = True
    ignore_result = True
    autoretry_for = (OperationalError,)
    max_retries = 5
    retry_backoff = 2  # seconds: 2, 4, 8, …, each with jitter
    retry_backoff_max = 60

    #: What a failure for good means for the report, given the task's argument.
    give_up: Callable[[Any, Exception], None] = staticmethod(processing.fail_report)

    def on_failure(
        self, exc: Exception, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        """Say on the report that it failed, for a person waits for it."""
        if not isinstance(exc, OperationalError):  # resume_stalled will try again
            self.give_up(args[0], exc)


@shared_task(base=ReportTask)
def start_profiling(report_id: str) -> None:
    """Send a task for every chunk of a report that isn't profiled yet."""
    for chunk_id in processing.unfinished_chunks(report_id):
        profile_chunk.delay(chunk_id)


@shared_task(base=ReportTask, give_up=staticmethod(processing.fail_chunk))
def profile_chunk(chunk_id: int) -> None:
    """Profile one chunk; who finishes the last one sends the merge."""
    processing.profile_chunk(chunk_id, merge_report.delay_on_commit)


@shared_task(base=ReportTask)
def merge_report(report_id: str) -> None:
    """Merge the partial profiles of a report into its result."""
    processing.merge_report(report_id)


@shared_task
def resume_stalled() -> int:
    """Send the tasks again of reports that don't get on."""
    return processing.resume_stalled(start_profiling.delay, merge_report.delay)


@shared_task
def delete_expired() -> int:
    """Delete old reports."""
    return expiry.delete_expired()


@shared_task
def sweep_abandoned_uploads() -> int:
    """Delete the uploads whose web process died."""
    return expiry.sweep_abandoned_uploads()
