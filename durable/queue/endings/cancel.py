"""A running task is cancelled, with proof: it can't commit any more once this says so."""

from __future__ import annotations

from celery import states
from django.db import transaction

from .. import conf, results, store
from ..models import Task
from . import revoked


def cancel(row_id: int, who: str) -> bool:
    """End a task that runs now; return whether it was still there.

    Its row is deleted and its result REVOKED in one transaction. From then on the attempt finds no
    row to end, in whatever pool: its last effects are rolled back. What a task with
    ``atomic=False`` has committed before stays. Its worker ends its process by the next sign of
    life, and needs no broker for it; a thread works on for nothing.

    :param who: who wants it, for the result.
    """
    with transaction.atomic(using=conf.alias()):
        rows = Task.objects.using(conf.alias()).select_for_update().filter(pk=row_id)
        row = rows.exclude(started_at=None).first()
        if row is None:
            return False
        why = f"cancelled by {who}"
        revoked.store(results.context_of(row), why)
        store.finish([(row.pk, row.attempt)], end=results.end_of(row, states.REVOKED, why))
        store.order_end(row.pk, row.worker or "")
    return True
