"""The result backend, as far as the ledger must know it."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import current_app, states
from celery.app.task import Context, get_actual_ignore_result
from celery.utils.nodenames import gethostname
from django.db import router
from kombu.utils.json import loads

from . import conf
from .sql import Part

logger = logging.getLogger(__name__)


class Quarantined(Exception):  # noqa: N818 - the name is what a caller sees as the task's state
    """The task was started too often without a report; a person must look at it."""


def is_transactional(backend: Any) -> bool:
    """Tell whether results are rows in the outbox' own database, written through Django."""
    from django_celery_results.backends.database import DatabaseBackend

    return isinstance(backend, DatabaseBackend) and (
        router.db_for_write(backend.TaskModel) == conf.alias()
    )


def part_of(source: str, task: Any, result: Any, state: str) -> Part | None:
    """Return what stores a state as part of a statement on rows, if *task*'s backend can do that.

    :param source: the query of that statement which must find its row.
    """
    backend = task.backend
    if not (is_transactional(backend) and hasattr(backend, "part_of_statement")):
        return None
    request = task.request
    return Part(*backend.part_of_statement(source, request.id, result, state, request))


def started(task: Any) -> dict[str, Any] | None:
    """Return what is to be stored when *task* starts; ``None`` if it isn't tracked."""
    request = task.request
    if not task.ledger_tracks or request.is_eager or get_actual_ignore_result(task, request):
        return None
    return {"pid": os.getpid(), "hostname": request.hostname or gethostname()}


def store_started(task: Any) -> None:
    """Record that *task* runs, if it is to be tracked; Celery does so before it asks the ledger."""
    if meta := started(task):
        request = task.request
        task.backend.store_result(request.id, meta, states.STARTED, request=request)


def context(task_id: str, task: str, body: str | None = None) -> Context:
    """Return the request of a task that no worker has, as the backends expect it."""
    args, kwargs, options = loads(body) if body else ((), {}, {})
    return Context(
        id=task_id, task=task, args=args, kwargs=kwargs, hostname=gethostname(),
        delivery_info={}, chord=options.get("chord"), chain=options.get("chain"),
        group=options.get("group_id"), group_index=options.get("group_index"),
        errbacks=options.get("link_error"), root_id=options.get("root_id"),
        parent_id=options.get("parent_id"), ignore_result=options.get("ignore_result"),
    )  # fmt: skip


def store_quarantined(task_id: str, task: str, why: str) -> None:
    """Let whoever waits for the task see that it failed; a later requeue overwrites that."""
    backend = current_app.backend
    try:
        backend.store_result(
            task_id, Quarantined(why), states.FAILURE, request=context(task_id, task)
        )
    except Exception:
        if is_transactional(backend):
            raise
        logger.exception("couldn't store that %s[%s] is in quarantine", task, task_id)
