"""Runs a durable task in this process, through Celery's tracer, as a worker does."""

from __future__ import annotations

from typing import Any

from celery.app.trace import build_tracer
from kombu.utils.json import loads

from durable.queue import conf, store
from durable.queue.models import Task
from proj.celery import app

WORKER = "this test"


def deliver(row: Task | None = None, attempt: int | None = None, **info: Any) -> Any:
    """Run the task of *row* as a worker does that holds it; return Celery's result.

    :param attempt: what the message says, if that is not what the row says.
    :param info: what else the message says of how it came.
    """
    row = row or Task.objects.get()
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
