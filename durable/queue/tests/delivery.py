"""Runs a durable task in this process, through Celery's tracer, as a worker does."""

from __future__ import annotations

from typing import Any

from celery.app.trace import build_tracer
from kombu.utils.json import loads

from durable.queue import conf
from durable.queue.models import Task
from proj.celery import app


def deliver(row: Task | None = None, starts: int | None = None, **info: Any) -> Any:
    """Run the task of *row* as a worker does with its message; return Celery's result.

    :param info: what else the broker says of how it came.
    """
    row = row or Task.objects.get()
    args, kwargs, options = loads(row.body)
    task = app.tasks[row.task]
    request = {
        "id": row.task_id, "task": row.task, "root_id": row.task_id, "is_eager": False,
        "args": args, "kwargs": kwargs, "retries": options.get("retries", 0),
        "callbacks": options.get("link"), "errbacks": options.get("link_error"),
        "chain": options.get("chain"), "chord": options.get("chord"),
        "group": options.get("group_id"), "ignore_result": bool(options.get("ignore_result")),
        "delivery_info": {
            "exchange": "", "routing_key": row.queue, "priority": row.priority,
            "redelivered": False, **info,
        },
        "expires": options.get("expires"),
        conf.HEADER: [row.id, row.starts if starts is None else starts, 0.0],
    }  # fmt: skip
    tracer = build_tracer(task.name, task, app=app)
    return tracer(row.task_id, args, kwargs, request)
