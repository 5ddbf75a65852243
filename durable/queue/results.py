"""The result backend, as far as the queue must know it."""

from __future__ import annotations

import logging
import os
from functools import cache, partial
from json import JSONDecoder
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import current_app, signals, states
from celery.app.task import Context, get_actual_ignore_result
from celery.exceptions import Reject, SoftTimeLimitExceeded
from celery.utils.nodenames import gethostname
from django.db import transaction
from kombu.utils.json import object_hook

from durable.database.routes import alias_of
from durable.journal import entry

from . import conf
from .store import Part

logger = logging.getLogger(__name__)

_plain, _typed = JSONDecoder().decode, JSONDecoder(object_hook=object_hook).decode


def decode(text: str) -> Any:
    """Read a row's headers or body as kombu does, which makes a decoder for each text.

    :raises ValueError: it is no JSON, or a value is of a type that kombu doesn't know.
    """
    # Only its own mark makes a dict more than that; the hook is called for each one.
    return (_typed if '"__type__"' in text else _plain)(text)


class Quarantined(Exception):  # noqa: N818 - the name is what a caller sees as the task's state
    """Too many attempts of the task ended without a word; a person must look at it."""


def is_transactional(backend: Any) -> bool:
    """Return whether results are rows in the queue's own database, written through Django."""
    kind: Any = type(backend)
    return _is_django(kind) and alias_of(backend.TaskModel) == conf.alias()


@cache
def _is_django(kind: Any) -> bool:
    from django_celery_results.backends.database import DatabaseBackend

    return issubclass(kind, DatabaseBackend)


def part_of(task: Any, request: Any, result: Any, state: str) -> Part | None:
    """Return what stores a state as part of a statement, if *task*'s backend can do that."""
    backend = task.backend
    if not (is_transactional(backend) and hasattr(backend, "part_of_statement")):
        return None
    return Part(*backend.part_of_statement("mine", request.id, result, state, request))


def values_of(task: Any, request: Any, result: Any) -> dict[str, Any] | None:
    """Return the columns of a success, to be stored with others'; ``None`` if that can't be done.

    :raises kombu.exceptions.EncodeError: JSON can't hold the result.
    """
    backend = task.backend
    if not (is_transactional(backend) and hasattr(backend, "columns_of")):
        return None
    found: dict[str, Any] = backend.columns_of(request.id, result, states.SUCCESS, request)
    return found


def part_of_many(values: list[dict[str, Any]]) -> Part | None:
    """Return what stores many successes as part of a statement on rows."""
    if not values:
        return None
    return Part(*current_app.backend.part_of_many(values))


def started(task: Any) -> dict[str, Any] | None:
    """Return what is to be stored when *task* starts; ``None`` if it isn't tracked."""
    if not task.tracks_start:
        return None
    request = task.request
    if request.is_eager or get_actual_ignore_result(task, request):
        return None
    return {"pid": os.getpid(), "hostname": request.hostname or gethostname()}


def store_started(task: Any) -> None:
    """Record that *task* runs, if it is to be tracked; Celery does so before its row is asked.

    A backend of its own that is away keeps no task from running: its end is stored later.
    """
    if meta := started(task):
        request = task.request
        try:
            task.backend.store_result(request.id, meta, states.STARTED, request=request)
        except Exception as error:
            if is_transactional(task.backend) or isinstance(error, SoftTimeLimitExceeded):
                raise
            logger.warning("couldn't store that %s[%s] runs: %r", task.name, request.id, error)


def context(task_id: str, task: str, headers: str = "", body: str = "") -> Context:
    """Return the request of a task that no worker runs, as the backends expect it.

    :raises Exception: *headers* or *body* can't be read.
    """
    args, kwargs, embed = decode(body) if body else ((), {}, {})
    said = decode(headers) if headers else {}
    return Context(
        id=task_id, task=task, args=args, kwargs=kwargs, hostname=gethostname(),
        delivery_info={}, chord=embed.get("chord"), chain=embed.get("chain"),
        group=said.get("group"), group_index=said.get("group_index"),
        errbacks=embed.get("errbacks"), root_id=said.get("root_id"),
        parent_id=said.get("parent_id"), ignore_result=said.get("ignore_result"),
    )  # fmt: skip


def context_of(row: Any) -> Context:
    """Return the request of a row's task; of one that can't be read, without its call."""
    try:
        return context(row.task_id, row.task, row.headers, row.body)
    except Exception:
        return context(row.task_id, row.task)


def end_of(row: Any, state: str, why: Any) -> entry.End | None:
    """Return how a row's task has ended without success, for the journal.

    :param row: what is called so in the table, with the columns of its call.
    :param why: an exception, or a sentence.
    """
    try:
        args, kwargs, embed = decode(row.body)
    except Exception:
        args, kwargs, embed = (), {}, {}
    return entry.failure(row.task, state, why, args, kwargs, embed)


def store_failure(task: Any, row: Any, error: Exception) -> Context:
    """Store how a task failed that can't say so itself, and tell those that depend on it.

    :param row: what is called so in the table, with the columns of its call.
    :return: its request.
    """
    request = context(row.task_id, row.task, row.headers, row.body)
    _mark_failed(task, request, error)
    return request


def store_rejected(task: Any, error: Reject) -> None:
    """Store that *task*, which runs here, has rejected itself, and tell those that depend on it.

    Celery's main process does so later: a crash meanwhile would find no row any more, and a chord
    or an error callback be lost.
    """
    _mark_failed(task, task.request, error)
    send_failed(task, task.request, error)


def send_failed(task: Any, request: Context, error: Exception) -> None:
    """Send Celery's signal ``task_failure`` of a task that fails by *error*."""
    try:
        raise error
    except type(error):
        info = ExceptionInfo()  # which wants a traceback
    signals.task_failure.send(
        sender=task, task_id=request.id, exception=error, args=request.args,
        kwargs=request.kwargs, traceback=error.__traceback__, einfo=info,
    )  # fmt: skip


def _mark_failed(task: Any, request: Context, error: Exception) -> None:
    wanted = not get_actual_ignore_result(task, request) or task.store_errors_even_if_ignored
    task.backend.mark_as_failure(request.id, error, request=request, store_result=wanted)


def store_quarantined(task_id: str, task: str, why: str) -> None:
    """Show the task as failed to its callers; a later requeue overwrites that."""
    backend = current_app.backend
    try:
        backend.store_result(
            task_id, Quarantined(why), states.FAILURE, request=context(task_id, task)
        )
    except Exception:
        if is_transactional(backend):
            raise
        logger.exception("couldn't store that %s[%s] is in quarantine", task, task_id)


def store_revoked(request: Any, why: str, *, expired: bool = False) -> None:
    """Store REVOKED, and send Celery's signal ``task_revoked`` once that is committed.

    In a worker Celery sends it. An application may go by it: it is the only word that its task will
    never run.
    """
    current_app.backend.mark_as_revoked(
        request.id, why, request=request, store_result=not request.ignore_result
    )
    transaction.on_commit(partial(_send_revoked, request, expired), using=conf.alias(), robust=True)


def _send_revoked(request: Any, expired: bool) -> None:
    if request.task not in current_app.tasks:
        current_app.loader.import_default_modules()  # a process of web may not have needed it yet
    if request.task in current_app.tasks:
        signals.task_revoked.send(
            sender=current_app.tasks[request.task], request=request,
            terminated=False, signum=None, expired=expired,
        )  # fmt: skip
