"""Finds calls of long durable tasks that go around their rows, by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celery import current_app
from django.apps import apps

from durable.discovery import takes_part

PLAIN = frozenset({"delay", "apply_async"})


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
