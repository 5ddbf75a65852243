"""The outbox' own task."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery import current_app, shared_task
from django.db import OperationalError

from .results import Quarantined

ERRORS = {error.__name__: error for error in (Quarantined, WorkerLostError)}


@shared_task(
    ignore_result=True,
    autoretry_for=(OperationalError,),  # a deadlock, a lock that took too long
    max_retries=10,
    retry_backoff=2,  # seconds: 2, 4, 8, …, each with jitter
    retry_backoff_max=60,
)
def call_on_failure(
    name: str, task_id: str, args: list[Any], kwargs: dict[str, Any], error: str, why: list[Any]
) -> None:
    """Call ``on_failure()`` of the task *name*, whose process could not (see ``failures.tell``)."""
    try:
        raise ERRORS[error](*why)
    except Exception as raised:
        current_app.tasks[name].on_failure(raised, task_id, args, kwargs, ExceptionInfo())
