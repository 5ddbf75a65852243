"""The base class of every task of this project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from durable.logs import context
from durable.queue.worker.task import DurableTask
from durable.telemetry.carry import carrying


class Task(DurableTask):
    """Celery's task class for Django, with a row behind ``delay_on_commit()``.

    What all tasks of a project share (logging, tracing) goes here. It derives from Celery's
    ``DjangoTask``; a class of one's own that doesn't would lose ``delay_on_commit()``.
    """

    abstract = True
    Strategy = "durable.logs.receivers:strategy"

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Call the task, on commit or at once; it carries the request's id, and the trace."""
        with carrying(self, context.carrying(options)) as carried:
            return super().apply_async(args, kwargs, *rest, **carried)

    def map_on_commit(self, arguments: Iterable[Any], **options: Any) -> int:
        """Call the task many times; each carries these too."""
        with carrying(self, context.carrying(options)) as carried:
            return super().map_on_commit(arguments, **carried)
