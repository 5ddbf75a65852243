"""The base class of every task of this project."""

from __future__ import annotations

from celery.contrib.django.task import DjangoTask


class Task(DjangoTask):  # type: ignore[misc]
    """Celery's task class for Django, with ``delay_on_commit()`` and ``apply_async_on_commit()``.

    What all tasks of a project share (logging, tracing, a ledger) goes here; derive from
    ``DjangoTask`` and not from ``celery.Task``, or the two methods are gone.
    """

    abstract = True
