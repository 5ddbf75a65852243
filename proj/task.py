"""The base class of every task of this project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from durable.logs import context, tracing
from durable.queue.worker.task import DurableTask


class Task(DurableTask):
    """Celery's task class for Django, with a row behind ``delay_on_commit()``.

    What all tasks of a project share (logging, tracing) goes here. It derives from Celery's
    ``DjangoTask``; a class of one's own that doesn't would lose ``delay_on_commit()``.
    """

    abstract = True
    Strategy = "durable.logs.receivers:strategy"

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Call the task, on commit or at once; it carries the request's id, and the trace."""
        return super().apply_async(args, kwargs, *rest, **_carrying(options))

    def map_on_commit(self, arguments: Iterable[Any], **options: Any) -> int:
        """Call the task many times; each carries these too."""
        return super().map_on_commit(arguments, **_carrying(options))


def _carrying(options: dict[str, Any]) -> dict[str, Any]:
    return tracing.carrying(context.carrying(options))
