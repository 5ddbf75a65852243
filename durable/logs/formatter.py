"""One JSON object a line, from whatever the standard library's loggers get."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.contextvars import merge_contextvars

from durable.journal import redaction
from durable.telemetry import carry

Event = MutableMapping[str, Any]

#: What a line may have from ``extra=``, because it is known what stands in it. Celery's own lines
#: have a task's arguments there, Django's the request.
SHOWN = (
    "request_id", "task_id", "task", "method", "path", "status", "size", "duration", "address",
    "audit", "account", "actor", "about",
)  # fmt: skip


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


def hide_secrets(_: Any, __: str, event: Event) -> Event:
    """Take the secret arguments of a task out of a traceback; a message has none any more."""
    if "exception" in event and (found := redaction.here()):
        event["exception"] = found.clean(event["exception"])
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
                structlog.processors.format_exc_info,
                hide_secrets,
                structlog.processors.UnicodeDecoder(),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                drop_unknown,
                structlog.processors.JSONRenderer(),
            ],
        )
