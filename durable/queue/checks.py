"""Checks of the configuration before a role starts: ``manage.py check``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celery import current_app
from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connections
from psycopg import IsolationLevel

from durable.discovery import takes_part
from durable.journal import conf as journal

from . import conf

PLAIN = frozenset({"delay", "apply_async"})


@register("durable")
def check_queue(**kwargs: Any) -> list[CheckMessage]:
    """Compare the settings of the queue with each other, with Celery's and the database."""
    return [*_times(), *_celery(), *_database()]


def _times() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not apps.is_installed("durable.journal"):
        found.append(
            Error(
                "durable.journal is not in INSTALLED_APPS: the end of a task is written into its "
                "table, and no task can end.",
                hint='Add "durable.journal", and run migrate.',
                id="durable.E008",
            )
        )
    heartbeat, dead = conf.get("HEARTBEAT"), conf.get("DEAD_AFTER")
    if dead < 3 * heartbeat:
        found.append(
            Error(
                f"DURABLE_DEAD_AFTER={dead} is less than three times "
                f"DURABLE_HEARTBEAT={heartbeat}: one late sign of life, and a worker's tasks are "
                "started elsewhere.",
                hint=f"Set DURABLE_DEAD_AFTER to {3 * heartbeat} or more.",
                id="durable.E001",
            )
        )
    days = journal.get("DAYS")
    if days > journal.MOST_DAYS:
        found.append(
            Error(
                f"HISTORY_DAYS={days}: the journal has a part for each day, and keeps "
                f"{journal.MOST_DAYS} days at most.",
                hint=f"Set HISTORY_DAYS to {journal.MOST_DAYS} or less.",
                id="durable.E007",
            )
        )
    return found


def _celery() -> list[CheckMessage]:
    from .worker.task import DurableTask

    found: list[CheckMessage] = []
    if not issubclass(current_app.Task, DurableTask):
        found.append(
            Error(
                "Celery's tasks don't derive from durable.queue.worker.task.DurableTask: "
                "delay_on_commit() publishes without a row, and nothing holds what is lost.",
                hint='Create the application with Celery(..., task_cls="proj.task:Task").',
                id="durable.E004",
            )
        )
    else:
        found.extend(_without_rows())
    found.extend(
        Warning(
            f"{path}:{line}: {task}.{method}() goes around its row, but the task has "
            "atomic=False: a redelivery would do its last effects twice.",
            hint=f"Call it by {method}_on_commit().",
            id="durable.W002",
        )
        for path, line, task, method in (() if conf.get("DELAY") else bare_calls())
    )
    return found


def _without_rows() -> Iterator[CheckMessage]:
    """Name the tasks with another base class; those of a library may be meant so."""
    from .worker.task import DurableTask

    for name, task in sorted(current_app.tasks.items()):
        path = getattr(sys.modules.get(task.__module__), "__file__", None) or ""
        if isinstance(task, DurableTask) or "tests" in Path(path).parts:
            continue
        says = (
            f"The task {name} doesn't derive from durable.queue.worker.task.DurableTask: its "
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
    connection = connections[conf.alias()]
    vendor = connection.vendor
    level = (connection.settings_dict.get("OPTIONS") or {}).get("isolation_level")
    if vendor == "postgresql" and level in (None, IsolationLevel.READ_COMMITTED):
        return []
    if vendor == "postgresql":
        return [
            Error(
                f"DATABASES[{conf.alias()!r}] has the isolation level {level!r}: a process that "
                "has waited for another one would not see what that has changed, so that more of a "
                "key would run than its limit lets.",
                hint="Leave isolation_level out of OPTIONS: READ COMMITTED is PostgreSQL's own.",
                id="durable.E009",
            )
        ]
    return [
        Error(
            f"The tasks' rows are in {vendor}: it needs PostgreSQL (SKIP LOCKED, RETURNING).",
            hint="Route the app label durable to a PostgreSQL database.",
            id="durable.E005",
        )
    ]


def bare_calls() -> Iterator[tuple[str, int, str, str]]:
    """Yield file, line, task's name and method for each ``task.delay()`` of a task that has
    ``atomic=False``: only the row keeps such a task from doing its last effects twice.
    """
    tasks = {
        name.rpartition(".")[2]: name
        for name, task in current_app.tasks.items()
        if not getattr(task, "atomic", True)
    }
    if not tasks:
        return
    for path, text in sources():
        # Parsing takes a hundred times as long as reading, and most files call no task so.
        if not any(f".{method}(" in text for method in PLAIN):
            continue
        for line, name, method in _calls(text):
            if name in tasks:
                yield path, line, tasks[name], method


def sources() -> Iterator[tuple[str, str]]:
    """Yield path and text of each Python file of the project's own apps, without their tests."""
    for config in apps.get_app_configs():
        if not takes_part(config):
            continue
        for path in sorted(Path(config.path).rglob("*.py")):
            if "tests" not in path.parts:
                yield str(path), path.read_text(encoding="utf-8")


def _calls(text: str) -> Iterator[tuple[int, str, str]]:
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        target: Any = node.func.value
        name = getattr(target, "id", None) or getattr(target, "attr", None)  # task or tasks.task
        if name and node.func.attr in PLAIN:
            yield node.lineno, name, node.func.attr
