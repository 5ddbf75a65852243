"""Reads the project's own source for what no setting shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from durable.queue.checks import sources

#: Methods that put a message with its waiting time into the broker.
WAITING = frozenset({"apply_async", "retry"})


class Wait(NamedTuple):
    """A call that lets a message wait in the broker."""

    path: str
    line: int
    method: str
    seconds: float


def waits() -> Iterator[Wait]:
    """Yield each ``….apply_async(countdown=NUMBER)`` and ``….retry(countdown=NUMBER)`` of the
    project's apps that is not inside of ``with durable():``.

    Only numbers that stand there (``15 * 60`` too) can be seen, no variables.
    """
    for path, text in sources():
        if "countdown=" in text:  # parsing takes a hundred times as long as reading
            yield from _waits(ast.parse(text), path)


def _waits(node: ast.AST, path: str) -> Iterator[Wait]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.With) and any(_is_durable(item) for item in child.items):
            continue
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
            method = child.func.attr
            for keyword in child.keywords if method in WAITING else ():
                if keyword.arg == "countdown" and (seconds := _number(keyword.value)) is not None:
                    yield Wait(path, child.lineno, method, seconds)
        yield from _waits(child, path)


def _is_durable(item: ast.withitem) -> bool:
    call = item.context_expr
    function = call.func if isinstance(call, ast.Call) else None
    return "durable" in (getattr(function, "id", None), getattr(function, "attr", None))


def _number(node: ast.expr) -> float | None:
    """Return what an expression of numbers comes to; ``None`` if there is anything else in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.BinOp):
        left, right = _number(node.left), _number(node.right)
        if left is not None and right is not None:
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.Add):
                return left + right
    return None
