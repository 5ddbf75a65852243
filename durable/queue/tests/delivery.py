"""Runs a durable task in this process, through Celery's tracer, as a worker does."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from celery.app.trace import build_tracer
from django.db.models.functions import Now
from kombu.utils.json import loads

from durable.queue import conf, store
from durable.queue.models import Task
from durable.queue.worker.request import RowMessage
from proj.celery import app

WORKER = "this test"


def deliver(
    row: Task | None = None, attempt: int | None = None, *, is_held: bool = False, **info: Any
) -> Any:
    """Run the task of *row* as a worker does that holds it; return Celery's result.

    :param attempt: what the message says, if that is not what the row says.
    :param info: what else the message says of how it came.
    """
    row = row or Task.objects.get()
    if not is_held:
        store.hold_one(row.pk, WORKER)
    args, kwargs, embed = loads(row.body)
    headers = loads(row.headers)
    task = app.tasks[row.task]
    request = {
        **headers, **embed, "is_eager": False, "args": args, "kwargs": kwargs,
        "delivery_info": {
            "exchange": "", "routing_key": row.queue, "priority": row.priority,
            "redelivered": False, **info,
        },
        conf.HEADER: [row.pk, row.attempt if attempt is None else attempt, WORKER],
    }  # fmt: skip
    tracer = build_tracer(task.name, task, app=app)
    return tracer(row.task_id, args, kwargs, request)


def begin(row: Task, worker: str = WORKER) -> int:
    """Begin an attempt of *row* in *worker*; return its number, 0 if it must not begin."""
    return store.begin(row.pk, store.hold_one(row.pk, worker), worker) or 0


def hold(limit: int = 1, worker: str = WORKER, *queues: str) -> list[store.Held]:
    """Take ready rows in hand, as a worker does that looks over all of its lanes."""
    return store.hold(worker, store.lanes(queues or ("default",)), limit)


def message(queue: str = "default") -> RowMessage:
    """Take the next row of *queue* in hand; return what Celery is given for it."""
    [held] = hold(1, WORKER, queue)
    return RowMessage(held, SimpleNamespace(worker_id=WORKER, stopping=False))


def make_due() -> None:
    """Let the time of every row have come."""
    Task.objects.update(due_at=Now())


def pause(row: Task) -> int:
    """Return the seconds from the last line of a row's history until it is due."""
    since = datetime.fromisoformat(row.history[-1]["at"]).astimezone(UTC)
    return round((row.due_at - since).total_seconds())
