"""The worker's side: a task of Django's is one of Celery's, under its module path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from celery import shared_task, signals
from celery.utils.nodenames import gethostname
from django.utils import timezone

from .framework import (
    Status,
    Task,
    TaskContext,
    TaskError,
    TaskResult,
    normalize_json,
    task_finished,
    task_started,
)

#: The header of a call: the backend's alias and the time.
HEADER = "django_task"
#: The attribute of Celery's request that holds the result of the attempt.
NAME = "django_task_result"

#: By their module paths: Django's task, as it was defined, and Celery's.
_known: dict[str, tuple[Task[..., Any], Any]] = {}


def register(task: Task[..., Any], options: Mapping[str, Any]) -> None:
    """Make a task known to Celery; ``using()`` makes others of it, which are the same there."""
    path = task.module_path
    if path in _known and _known[path][0].func is task.func:
        return
    parameters = list(inspect.signature(task.func).parameters.values())
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    if task.takes_context:
        parameters = parameters[1:]
    if not (parameters and parameters[0].kind is inspect.Parameter.POSITIONAL_ONLY):
        own = own.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD, name="_celery_task")
    run = _run(task)
    run.__signature__ = inspect.Signature([own, *parameters])  # type: ignore[attr-defined]
    run.__name__, run.__module__ = task.func.__name__, task.func.__module__
    run.__doc__ = task.func.__doc__
    given = {"ignore_result": False, **options, "name": path, "bind": True}
    made = shared_task(**given)(run)
    _known[path] = task, made


def celerys(task: Task[..., Any]) -> Any:
    """Return Celery's task of a registered one."""
    return _known[task.module_path][1]


def known(path: str) -> Task[..., Any] | None:
    """Return the task of that module path, as it was defined."""
    return _known[path][0] if path in _known else None


def _run(task: Task[..., Any]) -> Callable[..., Any]:
    def run(celerys_task: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = _running(task, celerys_task)
        setattr(celerys_task.request, NAME, result)
        task_started.send(type(task.get_backend()), task_result=result)
        if task.takes_context:
            args = (TaskContext(task_result=result), *args)
        try:
            # An async one on a loop of this thread: its queries are in the task's transaction.
            return normalize_json(task.call(*args, **kwargs))
        except SystemExit as error:  # Django has it fail the task, Celery end the process
            from durable.queue.worker.task import as_exception

            raise as_exception(error) from error

    return run


def _running(task: Task[..., Any], celerys_task: Any) -> TaskResult[..., Any]:
    from durable.queue import conf
    from durable.queue.models import Task as Row
    from durable.queue.worker.attempt import current

    request, now = celerys_task.request, timezone.now()
    alias, enqueued_at = called(request.headers) or (task.backend, None)
    attempt, started_at = current(request), now
    workers: list[str] = []
    if attempt is not None and attempt.number > 1:
        rows = Row.objects.using(conf.alias()).filter(pk=attempt.row_id)
        history = [line for past in rows.values_list("history", flat=True) for line in past]
        workers, first = of_history(history)
        started_at = first or now
    return TaskResult(
        task=task, id=str(request.id), status=Status.RUNNING,
        enqueued_at=enqueued_at,
        started_at=started_at, finished_at=None, last_attempted_at=now,
        args=list(request.args or ()), kwargs=dict(request.kwargs or {}), backend=alias, errors=[],
        worker_ids=[*workers, request.hostname or gethostname()],
    )  # fmt: skip


def called(headers: Mapping[str, Any] | None) -> tuple[str, datetime] | None:
    """Return the backend's alias and the time of a call by Django's API."""
    said = (headers or {}).get(HEADER)
    return (said[0], datetime.fromisoformat(said[1])) if said else None


def of_history(history: list[dict[str, Any]] | None) -> tuple[list[str], datetime | None]:
    """Return the workers of earlier attempts, and when the first of them began."""
    begun = [line for line in history or () if line.get("since")]
    first = datetime.fromisoformat(begun[0]["since"]) if begun else None
    return [str(line.get("worker") or "") for line in begun], first


def _finished(sender: Any, status: Status, value: Any = None, error: Any = None) -> None:
    result: TaskResult[..., Any] | None = getattr(getattr(sender, "request", None), NAME, None)
    if result is None:  # none of Django's
        return
    write = partial(object.__setattr__, result)
    write("status", status)
    write("finished_at", timezone.now())
    write("_return_value", value)
    if error is not None:
        result.errors.append(error)
    task_finished.send(type(result.task.get_backend()), task_result=result)


@signals.task_success.connect
def _succeeded(sender: Any, result: Any = None, **kwargs: Any) -> None:
    _finished(sender, Status.SUCCESSFUL, result)


@signals.task_failure.connect
def _failed(sender: Any, exception: Any = None, einfo: Any = None, **kwargs: Any) -> None:
    trace = str(getattr(einfo, "traceback", "") or "")
    _finished(sender, Status.FAILED, error=TaskError(
        exception_class_path=class_path(exception), traceback=trace
    ))  # fmt: skip


def class_path(error: Any) -> str:
    """Return where the class of an exception is defined."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"
