"""How far a task is: what its row says, and after that the journal and the result."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from celery import states
from django.utils.module_loading import import_string
from kombu.utils.json import loads

from durable.journal.models import Entry
from durable.queue import conf
from durable.queue.models import Task as Row

from . import runner
from .framework import Status, Task, TaskError, TaskResult, TaskResultDoesNotExist

#: What a task has ended by that no exception of its own has ended.
_ENDED = {
    states.IGNORED: "celery.exceptions.Ignore",
    states.REJECTED: "celery.exceptions.Reject",
    states.FAILURE: "builtins.Exception",
}
_REVOKED = "celery.exceptions.TaskRevokedError"
_QUARANTINED = "durable.queue.results.Quarantined"


def result(backend: Any, result_id: str) -> TaskResult[..., Any]:
    """Return what is known of a task.

    :raises TaskResultDoesNotExist: nothing is, or it is none of Django's.
    """
    # In this order: the entry is written by the statement that deletes the row.
    row = Row.objects.using(conf.alias()).filter(task_id=result_id).first()
    if row is not None:
        return _of_row(backend, row)
    entries = Entry.objects.using(conf.alias()).filter(task_id=result_id)
    entry = entries.order_by("-ended_at").first()
    if entry is not None:
        return _of_entry(backend, entry)
    raise TaskResultDoesNotExist(result_id)


def _of_row(backend: Any, row: Row) -> TaskResult[..., Any]:
    workers, first = runner.of_history(row.history)
    status = Status.READY
    errors = []
    if row.quarantined_at is not None:
        status = Status.FAILED
        errors = [TaskError(exception_class_path=_QUARANTINED, traceback=row.error)]
    elif row.started_at is not None:
        status = Status.RUNNING
        workers.append(row.worker or "")
    due_at = row.wanted_at if row.wanted_at > row.created_at and not row.attempt else None
    return TaskResult(
        task=_task(backend, row.task, row.priority, row.queue, due_at), id=row.task_id,
        status=status, enqueued_at=_called_at(row.headers, row.created_at),
        started_at=first or row.started_at, finished_at=row.quarantined_at,
        last_attempted_at=row.started_at or _last(row.history),
        backend=backend.alias, errors=errors, worker_ids=workers, **_arguments(row.body),
    )  # fmt: skip


def _of_entry(backend: Any, entry: Entry) -> TaskResult[..., Any]:
    workers, first = runner.of_history(entry.history)
    if entry.started_at is not None:
        workers.append(entry.host)
    due_at = entry.due_at if entry.due_at > entry.called_at and entry.attempt < 2 else None
    task = _task(backend, entry.task, entry.priority, entry.queue, due_at)
    ended = runner.celerys(task).AsyncResult(entry.task_id)
    done = entry.state == states.SUCCESS
    found: TaskResult[..., Any] = TaskResult(
        task=task, id=entry.task_id, status=Status.SUCCESSFUL if done else Status.FAILED,
        enqueued_at=_called_at(entry.headers, entry.called_at),
        started_at=first or entry.started_at, finished_at=entry.ended_at,
        last_attempted_at=entry.started_at or _last(entry.history),
        backend=backend.alias, errors=[] if done else [_error(entry, ended)],
        worker_ids=workers, **_arguments(entry.body),
    )  # fmt: skip
    if done and ended.state == states.SUCCESS:  # unless the result has expired before the entry
        object.__setattr__(found, "_return_value", ended.result)
    return found


def _error(entry: Entry, ended: Any) -> TaskError:
    raised = ended.result if ended.state == states.FAILURE else None
    path = _ENDED.get(entry.state, _REVOKED)
    if isinstance(raised, BaseException):
        path = runner.class_path(raised)
    trace = ended.traceback if raised else None
    return TaskError(
        exception_class_path=path, traceback=trace or entry.traceback or entry.result or ""
    )


def _task(
    backend: Any, path: str, priority: int, queue: str, due_at: datetime | None
) -> Task[..., Any]:
    task = runner.known(path)
    if task is None:
        with suppress(ImportError):
            import_string(path)  # it registers itself
        if (task := runner.known(path)) is None:
            raise TaskResultDoesNotExist(f"{path} is no task of Django's")
    named = not backend.queues or queue in backend.queues
    return task.using(
        priority=-priority, run_after=due_at, backend=backend.alias,
        queue_name=queue if named else None,
    )  # fmt: skip


def _called_at(headers: str | None, otherwise: datetime) -> datetime:
    """Return the time that the call has said; one of Celery's API says none."""
    said = runner.called(loads(headers)) if headers else None
    return said[1] if said else otherwise


def _arguments(body: str | None) -> dict[str, Any]:
    """Return the arguments of a call; the journal has none of one that was too large."""
    args, kwargs, _ = loads(body) if body else ((), {}, {})
    return {"args": list(args), "kwargs": dict(kwargs)}


def _last(history: list[dict[str, Any]] | None) -> datetime | None:
    begun = [line["since"] for line in history or () if line.get("since")]
    return datetime.fromisoformat(begun[-1]) if begun else None
