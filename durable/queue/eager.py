"""Eager mode (``CELERY_TASK_ALWAYS_EAGER``): the caller runs its tasks itself, after the commit."""

from __future__ import annotations

from contextlib import suppress

from celery import current_app
from celery.result import AsyncResult
from django.db import DatabaseError
from kombu.utils.json import loads

from . import conf, store


def run(row: store.Row, result: AsyncResult) -> None:
    """Run the task of *row* here and now, through the ledger.

    :param result: what the caller was given; it knows from now how the task has ended.
    :raises Exception: the task's, with ``CELERY_TASK_EAGER_PROPAGATES``.
    """
    args, kwargs, options = loads(row.body)
    headers = {**options.pop("headers", {}), conf.HEADER: [row.id, row.starts, row.at]}
    task = current_app.tasks[row.task]
    try:
        done = task.apply(args, kwargs, task_id=row.task_id, headers=headers, **options)
    except Exception:
        # Celery tells nobody of a failure that it raises. The caller's own error is the one to see.
        with suppress(DatabaseError):
            store.finish([(row.id, store.starts_of(row.id))])
        raise
    result._cache = done._cache  # which get() and all the others ask first
    result.on_ready(result)
