"""The base class of every task of this project."""

from __future__ import annotations

from typing import Any

from durable.logs.context import carrying
from durable.queue.task import OutboxTask


class Task(OutboxTask):
    """Celery's task class for Django, with the ledger behind ``delay_on_commit()``.

    What all tasks of a project share (logging, tracing) goes here. It derives from Celery's
    ``DjangoTask``; a class of one's own that doesn't would lose ``delay_on_commit()``.
    """

    abstract = True
    Strategy = "durable.logs.receivers:strategy"

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Call the task, on commit or at once; it carries the id of the request that calls it."""
        return super().apply_async(args, kwargs, *rest, **carrying(options))
