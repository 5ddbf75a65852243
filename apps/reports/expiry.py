"""Deletes reports: one that a person is done with, old ones, abandoned ones."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from .models import Chunk, Report

logger = logging.getLogger(__name__)

#: Rows that one transaction deletes; a chunk takes up to some MB of the table with it.
BATCH = 20
#: An upload is abandoned after so long without a sign of life (uploads.SIGN_OF_LIFE).
ABANDONED_AFTER = timedelta(minutes=10)


def delete_report(report_id: UUID) -> bool:
    """Delete a report in any state; return ``False`` if there is none.

    The report goes first, and with it the state that its tasks ask for: they find nothing to do.
    Its chunks go in the same transaction by the foreign key.
    """
    with transaction.atomic():
        # Like everything that changes a report's chunks, lock the report first: no deadlocks.
        reports = Report.objects.filter(pk=report_id)
        return reports.select_for_update().exists() and bool(reports.delete()[0])


def delete_expired() -> int:
    """Delete the reports older than ``REPORTS_EXPIRE_DAYS`` and return how many there were."""
    limit = timezone.now() - timedelta(days=settings.REPORTS_EXPIRE_DAYS)
    return _delete_all(created_at__lt=limit)


def sweep_abandoned_uploads() -> int:
    """Delete the uploads whose web process died, which frees their idempotency keys.

    A process that is alive shows it in ``active_at``; one that was thought dead finds its report
    gone, and tells its client so.
    """
    limit = timezone.now() - ABANDONED_AFTER
    return _delete_all(state=Report.State.UPLOADING, active_at__lt=limit)


def _delete_all(**those: Any) -> int:
    reports, count = Report.objects.filter(**those), 0
    while batch := list(reports.order_by("created_at").values_list("pk", flat=True)[:BATCH]):
        for report_id in batch:
            # Retired first, by a conditional update: an upload that was only slow and ends now
            # must not become a report that lacks chunks.
            if reports.filter(pk=report_id).update(state=Report.State.FAILED, idempotency_key=None):
                # A few at a time: one statement for hundreds would hold its locks for long.
                chunks = Chunk.objects.filter(report_id=report_id).values_list("pk", flat=True)
                while some := list(chunks.order_by()[:BATCH]):
                    Chunk.objects.filter(pk__in=some).delete()
                count += delete_report(report_id)
    if count:
        logger.info("deleted %d reports", count)
    return count
