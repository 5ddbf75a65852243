"""What a report hears of its tasks beside their results."""

from __future__ import annotations

from typing import Any

from celery import signals
from celery.exceptions import TaskRevokedError

from .tasks import ReportTask


@signals.task_revoked.connect
def after_revoke(sender: Any, request: Any, **kwargs: Any) -> None:
    """Let the report of a task fail that somebody has revoked; Celery calls no ``on_failure()``.

    Its row is gone by then (durable/queue/worker/receivers.py), so nothing would start it again, and
    the report would be in progress for ever.
    """
    if isinstance(sender, ReportTask) and (request.args or request.kwargs):
        revoked = TaskRevokedError(f"{sender.name} was revoked")
        sender.on_failure(revoked, request.id, request.args, request.kwargs, None)
