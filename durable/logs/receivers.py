"""The ids of a task: bound while it runs, whatever the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import signals
from django.conf import settings

from durable.journal import redaction
from durable.queue.worker import request as queue

from .context import bind, of_message, unbind


@signals.task_prerun.connect
def bind_task(task_id: str, task: Any, **kwargs: Any) -> None:
    """Bind the ids of a task that is about to run."""
    request = task.request
    ids: dict[str, str | None] = {"task_id": task_id, "task": task.name}
    # Called eagerly without a header, it runs within the request or task that called it.
    if (request_id := of_message(request.headers)) or not request.is_eager:
        ids["request_id"] = request_id
    request.log_context = bind(**ids)
    redaction.begun(task)


@signals.task_postrun.connect
def unbind_task(task: Any, **kwargs: Any) -> None:
    """Bind again what was bound before the task."""
    if before := task.request.__dict__.pop("log_context", None):
        unbind(before)


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """The queue's strategy; what it logs when a message arrives has the ids as well."""
    handle: Callable[..., Any] = queue.strategy(task, app, consumer, **options)
    if getattr(settings, "LOG_FORMAT", "text") != "json":
        return handle

    def with_ids(message: Any, *args: Any, **kwargs: Any) -> Any:
        before = bind(request_id=of_message(message.headers))
        try:
            return handle(message, *args, **kwargs)
        finally:
            unbind(before)

    return with_ids
