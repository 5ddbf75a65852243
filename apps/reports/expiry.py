"""Deletes reports: one that a person is done with, old ones, abandoned ones."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from .models import Report

logger = logging.getLogger(__name__)

#: An upload is abandoned after so long without a sign of life (uploads.SIGN_OF_LIFE).
ABANDONED_AFTER = timedelta(minutes=10)


def delete_report(report_id: UUID, **still: Any) -> bool:
    """Delete a report and its chunks, in one transaction; return ``False`` if there is none.

    Its tasks find nothing to do, and an upload that goes on is told so.

    :param still: what must be true of it, once nothing else can change it.
    """
    with transaction.atomic():
        # Like everything that changes a report's chunks, lock the report first: no deadlocks.
        reports = Report.objects.filter(pk=report_id, **still)
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
    ids = Report.objects.filter(**those).order_by("created_at").values_list("pk", flat=True)
    count = sum(delete_report(report_id, **those) for report_id in ids)
    if count:
        logger.info("deleted %d reports", count)
    return count
