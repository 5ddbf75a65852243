"""The tasks of reports: thin, each takes an id. What they hold on to is a row (docs/delivery.md).

Each finishes once: an attempt that a later one has superseded changes nothing.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task, signals
from celery.exceptions import TaskRevokedError
from django.db import OperationalError

from proj.task import Task

from . import expiry, processing


class ReportTask(Task):
    """A task that works on one report, whose id is its first argument.

    The report holds its state, so there is no result to keep.
    """

    abstract = True
    ignore_result = True
    # A deadlock, a lock that took too long. A database that is away doesn't count as a failure.
    autoretry_for = (OperationalError,)
    max_retries = 5
    retry_backoff = 2  # seconds: 2, 4, 8, …, each with jitter
    retry_backoff_max = 60

    def on_failure(
        self, exc: Exception, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        """Say on the report that it failed for good, for a person waits for it."""
        processing.fail(_its_id(args, kwargs), "The profile could not be put together", exc)


class ChunkTask(ReportTask):
    """A task that works on one chunk, whose id is its first argument."""

    abstract = True

    def on_failure(
        self, exc: Exception, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        """Say on the chunk's report that it failed for good, and where."""
        processing.fail_chunk(_its_id(args, kwargs), exc)


def _its_id(args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return the one argument of a task, however it was passed."""
    return [*args, *kwargs.values()][0]


@signals.task_revoked.connect
def after_revoke(sender: Any, request: Any, **kwargs: Any) -> None:
    """Let the report of a task fail that was revoked; Celery calls no ``on_failure()``.

    Its row is gone by then, so nothing would start it again, and the report would be in
    progress for ever.
    """
    if isinstance(sender, ReportTask) and (request.args or request.kwargs):
        revoked = TaskRevokedError(f"{sender.name} was revoked")
        sender.on_failure(revoked, request.id, request.args, request.kwargs, None)


@shared_task(base=ReportTask)
def start_profiling(report_id: str) -> None:
    """Call a task for every chunk of a report: one transaction, so all of them or none."""
    for chunk_id in processing.unfinished_chunks(report_id):
        profile_chunk.delay_on_commit(chunk_id)


@shared_task(base=ChunkTask, bind=True, atomic=False)
def profile_chunk(self: Task, chunk_id: int) -> None:
    """Profile one chunk; who finishes the last one calls the merge."""
    partial = processing.profile_chunk(chunk_id)  # takes as long as it takes; holds nothing
    with self.finishing():
        if partial is not None and (report_id := processing.store_partial(chunk_id, partial)):
            merge_report.delay_on_commit(report_id)


@shared_task(base=ReportTask, bind=True, atomic=False)
def merge_report(self: Task, report_id: str) -> None:
    """Merge the partial profiles of a report into its result."""
    result = processing.merge(report_id)
    with self.finishing():
        if result is not None:
            processing.store_result(report_id, result)


@shared_task(atomic=False)  # a transaction for each report
def delete_expired() -> int:
    """Delete old reports."""
    return expiry.delete_expired()


@shared_task(atomic=False)
def sweep_abandoned_uploads() -> int:
    """Delete the uploads whose web process died."""
    return expiry.sweep_abandoned_uploads()
