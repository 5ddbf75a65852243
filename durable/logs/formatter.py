"""One JSON object a line, from whatever the standard library's loggers get."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.contextvars import merge_contextvars

from durable.telemetry import carry

Event = MutableMapping[str, Any]

#: What a line may have from ``extra=``, because it is known what stands in it. Celery's own lines
#: have a task's arguments there, Django's the request.
SHOWN = (
    "request_id", "task_id", "task", "method", "path", "status", "size", "duration", "address",
    "audit", "account", "actor", "about",
)  # fmt: skip

#: Where it does so: a message that it can't read or whose task it doesn't know, and, at the level
#: DEBUG, each that it hands to its pool.
_WRITTEN_OUT = re.compile(r"The full contents of the message| headers:|^body: | \(args:", re.M)


def add_role(_: Any, __: str, event: Event) -> Event:
    """Say which role of docker/entrypoint.sh speaks; ``manage`` is a command typed by hand."""
    event["role"] = os.environ.get("APP_ROLE") or "manage"
    return event


def add_ids(_: Any, __: str, event: Event) -> Event:
    """Add the ids that the line's record has itself, where no context is bound (any more)."""
    record = event["_record"]
    if request_id := getattr(getattr(record, "request", None), "request_id", None):
        event["request_id"] = request_id
    task = getattr(record, "data", None)
    if record.name.startswith("celery.") and isinstance(task, dict) and "id" in task:
        event["task_id"], event["task"] = task["id"], task.get("name")
        if "return_value" in task:  # what a task returns may be private
            event["event"] = f"Task {task.get('name')}[{task['id']}] succeeded"
            event["duration"] = task.get("runtime")
    return event


def add_trace(_: Any, __: str, event: Event) -> Event:
    """Add the ids of the trace, if there are traces."""
    if carry.ids is not None:
        event.update(carry.ids())
    return event


def cut_messages(_: Any, __: str, event: Event) -> Event:
    """Cut off where Celery would write a message out, which has its task's arguments."""
    if event["_record"].name.startswith(("celery.worker", "celery.pool")):
        event["event"] = _WRITTEN_OUT.split(event["event"], maxsplit=1)[0].rstrip()
    return event


def drop_unknown(_: Any, __: str, event: Event) -> Event:
    """Leave out what isn't known."""
    return {name: value for name, value in event.items() if value is not None}


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats the records of every logger, those of libraries too, as JSON."""

    def __init__(self) -> None:
        super().__init__(
            foreign_pre_chain=[
                merge_contextvars,
                structlog.stdlib.ExtraAdder(allow=SHOWN),
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                add_role,
                add_ids,
                add_trace,
                cut_messages,
                structlog.processors.format_exc_info,
                structlog.processors.UnicodeDecoder(),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                drop_unknown,
                structlog.processors.JSONRenderer(),
            ],
        )
