"""The backend: ``enqueue()`` is the row, in the caller's transaction."""

from __future__ import annotations

from typing import Any

from celery.utils import uuid
from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.utils import timezone

from durable.journal import conf as journal

from . import runner
from .framework import (
    DEFAULT_TASK_QUEUE_NAME,
    BaseTaskBackend,
    Status,
    Task,
    TaskResult,
    task_enqueued,
)


class Backend(BaseTaskBackend):
    """Runs Django's tasks as durable ones.

    A worker of any pool runs them, in the way of docs/delivery.md: the row is written in the
    caller's transaction (no ``on_commit()`` around ``enqueue()``), and the effects are committed
    once. ``OPTIONS`` are those of Celery's ``@shared_task``, for all tasks that are defined with
    this backend::

        TASKS = {
            "default": {"BACKEND": "durable.django_tasks.Backend"},
            "long": {
                "BACKEND": "durable.django_tasks.Backend",
                "OPTIONS": {"atomic": False, "autoretry_for": (OSError,), "max_retries": 5},
            },
        }
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Task[..., Any]) -> None:
        """Check a task as Django does, and make it known to Celery.

        :raises InvalidTask: it can't be run.
        """
        super().validate_task(task)
        runner.register(task, self.options)

    # Upstream's is generic in the function's parameters.
    def enqueue(  # type: ignore[override]
        self, task: Task[..., Any], args: Any, kwargs: Any
    ) -> TaskResult[..., Any]:
        """Write the row of a call.

        A task of the queue ``default`` goes where ``CELERY_TASK_ROUTES`` says, and otherwise to
        ``CELERY_TASK_DEFAULT_QUEUE``.

        :raises TypeError: the task doesn't take these arguments, or JSON doesn't.
        """
        self.validate_task(task)
        now = timezone.now()
        result: TaskResult[..., Any] = TaskResult(
            task=task, id=uuid(), status=Status.READY, enqueued_at=now, started_at=None,
            finished_at=None, last_attempted_at=None, args=list(args), kwargs=dict(kwargs),
            backend=self.alias, errors=[], worker_ids=[],
        )  # fmt: skip
        options: dict[str, Any] = {
            "task_id": result.id,
            "headers": {runner.HEADER: [self.alias, now.isoformat()]},
        }
        if task.queue_name != DEFAULT_TASK_QUEUE_NAME:
            options["queue"] = task.queue_name
        if task.priority:
            options["priority"] = -task.priority  # of rows, the lowest comes first
        if task.run_after is not None:
            options["eta"] = task.run_after
        runner.celerys(task).apply_async_on_commit(result.args, result.kwargs, **options)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """Return how far a task is, or how it has ended, as long as the journal has it.

        :raises TaskResultDoesNotExist: there is no such task, or it ended ``HISTORY_DAYS`` ago.
        """
        from . import lookup  # models, which a task that is defined among models must not need

        return lookup.result(self, result_id)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Compare ``TASKS`` with what the backend needs."""
        found = list(super().check(**kwargs))
        if not apps.is_installed("durable.queue"):
            found.append(
                Error(
                    f"TASKS[{self.alias!r}] runs on durable.queue, which is not installed.",
                    hint='Add "durable.queue", "durable.journal" and "durable.results" to '
                    "INSTALLED_APPS.",
                    id="durable.E020",
                )
            )
        elif not journal.days():
            found.append(
                Warning(
                    "HISTORY_DAYS=0 keeps no journal: get_result() and refresh() of "
                    f"TASKS[{self.alias!r}] know no task that has ended.",
                    hint="Set HISTORY_DAYS to the days that results are asked for.",
                    id="durable.W020",
                )
            )
        return found
