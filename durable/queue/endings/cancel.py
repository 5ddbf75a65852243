"""A running task is cancelled, with proof: it can't commit any more once this says so."""

from __future__ import annotations

import logging
from functools import partial

from celery import current_app, states
from celery.app.control import Control
from django.db import transaction

from durable.journal import entry

from .. import conf, results, store
from ..models import Task
from . import revoked

logger = logging.getLogger(__name__)


def cancel(row_id: int, who: str) -> bool:
    """End a task that runs now; return whether it was still there.

    Its row is deleted and its result REVOKED in one transaction. From then on the attempt finds no
    row to end, in whatever pool: its last effects are rolled back. What a task with
    ``atomic=False`` has committed before stays. Its process is told to end as well, by the broker
    if there is one; without one it works on for nothing.

    :param who: who wants it, for the result.
    """
    with transaction.atomic(using=conf.alias()):
        rows = Task.objects.using(conf.alias()).select_for_update().filter(pk=row_id)
        row = rows.exclude(started_at=None).first()
        if row is None:
            return False
        call = results.call_of(row.body)
        try:
            request = results.context(row.task_id, row.task, row.headers, row.body)
        except Exception:  # a body that can't be read
            request = results.context(row.task_id, row.task)
        why = f"cancelled by {who}"
        revoked.store(request, why)
        how = entry.failure(row.task, states.REVOKED, why, *call)
        store.finish([(row.pk, row.attempt)], end=how)
        transaction.on_commit(partial(_tell, row), using=conf.alias(), robust=True)
    return True


def _tell(row: Task) -> None:
    try:
        # Celery's own: ours would look for a row first.
        Control(current_app).revoke(row.task_id, terminate=True)
    except Exception as error:
        logger.warning("%s: its process could not be told to end: %s", row, error)
