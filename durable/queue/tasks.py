"""The queue's own task."""

from __future__ import annotations

from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import current_app, shared_task
from django.db import OperationalError


@shared_task(
    ignore_result=True,
    autoretry_for=(OperationalError,),  # a deadlock, a lock that took too long
    max_retries=10,
    retry_backoff=2,  # seconds: 2, 4, 8, …, each with jitter
    retry_backoff_max=60,
    tells_of=("name", "args", "kwargs"),  # what is secret of that call is secret of this one
)
def call_on_failure(
    name: str,
    task_id: str,
    args: list[Any],
    kwargs: dict[str, Any],
    error: str,
    why: list[Any],
    module: str,
) -> None:
    """Call ``on_failure()`` of the task *name*, whose process could not (endings/quarantine.py).

    :param error: the exception's class, of *module*, and *why* its arguments; one that this process
        doesn't know is made up, as Celery does it for results.
    """
    task = current_app.tasks[name]
    hook = task.on_failure
    if hasattr(hook, "is_guarded"):  # an error of it is this task's own, and is retried
        hook = partial(hook.__wrapped__, task)
    stored = {"exc_type": error, "exc_message": why, "exc_module": module}
    try:
        raise current_app.backend.exception_to_python(stored)
    except Exception as raised:
        hook(raised, task_id, args, kwargs, ExceptionInfo())
