"""The base class of every task of this project."""

from __future__ import annotations

from apps.outbox.task import OutboxTask


class Task(OutboxTask):
    """Celery's task class for Django, with the ledger behind ``delay_on_commit()``.

    What all tasks of a project share (logging, tracing) goes here. It derives from Celery's
    ``DjangoTask``; a class of one's own that doesn't would lose ``delay_on_commit()``.
    """

    abstract = True
