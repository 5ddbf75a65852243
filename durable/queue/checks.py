"""What can be seen of a wrong configuration before a role starts: ``manage.py check``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celery import current_app
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connections

from . import conf, encoding
from .callers import bare_calls


@register("durable")
def check_outbox(**kwargs: Any) -> list[CheckMessage]:
    """Compare the settings of the outbox with each other, with Celery's and the database."""
    return [*_times(), *_celery(), *_messages(), *_database()]


def _times() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    heartbeat, dead = conf.get("HEARTBEAT"), conf.get("DEAD_AFTER")
    if dead < 3 * heartbeat:
        found.append(
            Error(
                f"DURABLE_DEAD_AFTER={dead} is less than three times DURABLE_HEARTBEAT={heartbeat}: "
                "one late sign of life, and a worker's tasks are started elsewhere.",
                hint=f"Set DURABLE_DEAD_AFTER to {3 * heartbeat} or more.",
                id="durable.E001",
            )
        )
    limit = current_app.conf.task_time_limit or 0
    if conf.get("RESEND_AFTER") < 2 * limit:
        found.append(
            Error(
                f"DURABLE_RESEND_AFTER={conf.get('RESEND_AFTER')} is less than twice "
                f"CELERY_TASK_TIME_LIMIT={limit:g}: tasks that only wait would be sent again, and "
                "a backlog would grow by itself.",
                hint="Set DURABLE_RESEND_AFTER to hours; losses are noticed without it.",
                id="durable.E002",
            )
        )
    timeout = conf.get("PUBLISH_TIMEOUT")
    if not 0 < timeout <= 5:
        found.append(
            Error(
                f"DURABLE_PUBLISH_TIMEOUT={timeout:g}: a request waits as long for a broker that is "
                "frozen.",
                hint="Set DURABLE_PUBLISH_TIMEOUT to more than 0 and at most 5 seconds.",
                id="durable.E003",
            )
        )
    return found


def _celery() -> list[CheckMessage]:
    from .task import OutboxTask

    found: list[CheckMessage] = []
    if not issubclass(current_app.Task, OutboxTask):
        found.append(
            Error(
                "Celery's tasks don't derive from durable.queue.task.OutboxTask: delay_on_commit() "
                "publishes without a row, and nothing holds what is lost.",
                hint='Create the application with Celery(..., task_cls="proj.task:Task").',
                id="durable.E004",
            )
        )
    else:
        found.extend(_without_ledger())
    if not current_app.conf.task_acks_late:
        found.append(
            Warning(
                "CELERY_TASK_ACKS_LATE=false: the messages of a worker that dies are gone, and "
                "durable tasks wait until the relay notices.",
                hint="Leave CELERY_TASK_ACKS_LATE at true.",
                id="durable.W001",
            )
        )
    found.extend(
        Warning(
            f"{path}:{line}: {task}.{method}() goes around the ledger, but the task has "
            "atomic=False: a redelivery would do its last effects twice.",
            hint=f"Call it by {method}_on_commit().",
            id="durable.W002",
        )
        for path, line, task, method in bare_calls()
    )
    return found


def _messages() -> Iterator[CheckMessage]:
    """Name what would keep every message from being sent, or from being known as a row's."""
    if (protocol := current_app.conf.task_protocol) != 2:
        yield Error(
            f"CELERY_TASK_PROTOCOL={protocol}: its messages don't say which row they are for, so "
            "that tasks would run without the ledger, and again and again.",
            hint="Leave CELERY_TASK_PROTOCOL at 2.",
            id="durable.E007",
        )
    if why := encoding.impediment():
        yield Error(
            why[0].upper() + why[1:] + ".",
            hint="All roles must have the same libraries: those that send, and those that receive.",
            id="durable.E008",
        )


def _without_ledger() -> Iterator[CheckMessage]:
    """Name the tasks with another base class; those of a library may be meant so."""
    from .task import OutboxTask

    for name, task in sorted(current_app.tasks.items()):
        path = getattr(sys.modules.get(task.__module__), "__file__", None) or ""
        if isinstance(task, OutboxTask) or "tests" in Path(path).parts:
            continue
        says = (
            f"The task {name} doesn't derive from durable.queue.task.OutboxTask: its "
            "delay_on_commit(), if it has one, writes no row, and durable() publishes it plainly, "
            "before the commit."
        )
        if "site-packages" not in path:
            hint = "Give its base class proj.task.Task as base, or leave base= out."
            yield Error(says, hint=hint, id="durable.E006")
        else:
            hint = "Call it by a task of your own, if it must not be lost."
            yield Warning(says, hint=hint, id="durable.W003")


def _database() -> list[CheckMessage]:
    vendor = connections[conf.alias()].vendor
    if vendor == "postgresql":
        return []
    return [
        Error(
            f"The outbox' rows are in {vendor}: it needs PostgreSQL (SKIP LOCKED, RETURNING).",
            hint="Route durable.queue to a PostgreSQL database.",
            id="durable.E005",
        )
    ]
