"""Has a task's ``on_failure()`` called where Celery can't, or could not with success."""

from __future__ import annotations

from celery import Task, current_app
from celery.utils.serialization import ensure_serializable
from kombu.utils.json import dumps, loads

from .. import conf
from ..models import Task as Row


def schedule(row_id: int, error: Exception) -> None:
    """Let a worker call ``on_failure()`` for the task of a row that ends by *error*.

    Call it in the transaction that ends the row, before it is deleted. The call is a durable task
    of its own: neither a worker's signs of life nor the janitor can wait for what a project does
    there.
    """
    from ..tasks import call_on_failure

    for row in Row.objects.using(conf.alias()).select_for_update().filter(pk=row_id):
        task = current_app.tasks.get(row.task)
        if task is not None and type(task).on_failure is Task.on_failure:
            continue  # Celery's own, which does nothing
        args, kwargs, _ = loads(row.body)
        arguments = (
            row.task, row.task_id, args, kwargs, type(error).__qualname__,
            list(ensure_serializable(error.args, dumps)), type(error).__module__,
        )  # fmt: skip
        call_on_failure.apply_async_on_commit(arguments, queue=row.queue)
