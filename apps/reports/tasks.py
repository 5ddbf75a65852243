"""The tasks of reports: thin, each takes ids. What they hold on to is a row (docs/delivery.md).

Each finishes once: an attempt that a later one has superseded changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task, signals
from celery.exceptions import TaskRevokedError
from django.conf import settings
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone

from proj.task import Task

from . import processing
from .models import Report

#: An upload is abandoned after so long without a sign of life (uploads.SIGN_OF_LIFE).
ABANDONED_AFTER = timedelta(minutes=10)


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
        processing.fail(args[0] if args else kwargs["report_id"], exc)


@signals.task_revoked.connect
def after_revoke(sender: Any, request: Any, **kwargs: Any) -> None:
    """Let the report of a task fail that was revoked; Celery calls no ``on_failure()``.

    Its row is gone by then, so nothing would start it again, and the report would be in
    progress for ever.
    """
    if isinstance(sender, ReportTask) and (request.args or request.kwargs):
        revoked = TaskRevokedError(sender.name)
        sender.on_failure(revoked, request.id, request.args, request.kwargs, None)


@shared_task(base=ReportTask, bind=True, atomic=False)
def profile_chunk(self: Task, report_id: str, number: int) -> None:
    """Profile one chunk; who finishes the last one calls the merge."""
    partial = processing.profile_chunk(report_id, number)  # takes as long as it takes
    with self.finishing():
        if partial is not None and processing.store_partial(report_id, number, partial):
            merge_report.delay_on_commit(report_id)


@shared_task(base=ReportTask, bind=True, atomic=False)
def merge_report(self: Task, report_id: str) -> None:
    """Merge the partial profiles of a report into its result."""
    result = processing.merge(report_id)
    with self.finishing():
        if result is not None:
            processing.finish(report_id, state=Report.State.DONE, result=result, columns=[])


@shared_task(atomic=False)  # a transaction for each report
def delete_old() -> int:
    """Delete reports older than ``REPORTS_EXPIRE_DAYS``, and uploads whose web process died.

    A process that is alive shows it in ``active_at``; one that was thought dead finds its report
    gone, and tells its client so. The key of its upload is free again.
    """
    now = timezone.now()
    old = Q(created_at__lt=now - timedelta(days=settings.REPORTS_EXPIRE_DAYS))
    uploading = Q(state=Report.State.UPLOADING)
    those = Report.objects.filter(old | uploading & Q(active_at__lt=now - ABANDONED_AFTER))
    return sum(those.filter(pk=pk).delete()[0] for pk in those.values_list("pk", flat=True))
