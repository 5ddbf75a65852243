"""The names and signatures of tasks: those of this code, and those of a list in a file.

A list is text, a task on each line, so that a review shows what changes::

    apps.reports.tasks.expire_reports()
    apps.reports.tasks.profile_chunk(pk, attempt=..., *, again=...)
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from celery import current_app

from durable.discovery import is_own, load_tasks

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class ListError(ValueError):
    """A list can't be read; the message names its file and line."""


def tasks() -> dict[str, Any]:
    """Return every task that a worker of this code knows, by name."""
    load_tasks()
    return dict(current_app.tasks)


def signature(task: Any) -> Signature:
    """Return what a call of *task* may give, without annotations and the values of defaults."""
    kept = []
    for each in inspect.signature(task.run).parameters.values():
        default = each.default if each.default is Parameter.empty else ...
        kept.append(each.replace(annotation=Parameter.empty, default=default))
    return Signature(kept)


def own() -> dict[str, Signature]:
    """Return the project's own tasks and those of the package, in the order of their names."""
    return {
        name: signature(task) for name, task in sorted(tasks().items()) if is_own(task.__module__)
    }


#: The first line of a list.
HEADER = "# The tasks of the last release (manage.py check_tasks --write); docs/upgrading.md\n"


def as_text(signatures: dict[str, Signature]) -> str:
    """Return *signatures* as the text of a list."""
    lines = (f"{name}{found}".replace("=Ellipsis", "=...") for name, found in signatures.items())
    return HEADER + "".join(f"{line}\n" for line in lines)


def read(path: Path) -> dict[str, Signature]:
    """Return the signatures in the list *path*; none if there is no such file.

    :raises ListError: a line is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            name, bracket, rest = line.partition("(")
            try:
                found[name] = _parse(bracket + rest)
            except (SyntaxError, ValueError) as error:
                raise ListError(
                    f"{path}, line {number}: {line!r} is no task with its arguments; write the "
                    "list by `manage.py check_tasks --write`"
                ) from error
    return found


def _parse(text: str) -> Signature:
    (function,) = ast.parse(f"def task{text}: ...").body
    if not isinstance(function, ast.FunctionDef):
        raise ValueError(text)
    given, found = function.args, []
    positional: list[tuple[ast.arg, Any]]
    positional = [(each, Parameter.POSITIONAL_ONLY) for each in given.posonlyargs]
    positional += [(each, Parameter.POSITIONAL_OR_KEYWORD) for each in given.args]
    required = len(positional) - len(given.defaults)
    for index, (each, kind) in enumerate(positional):
        default = Parameter.empty if index < required else ...
        found.append(Parameter(each.arg, kind, default=default))
    if given.vararg:
        found.append(Parameter(given.vararg.arg, Parameter.VAR_POSITIONAL))
    for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        default = Parameter.empty if value is None else ...
        found.append(Parameter(each.arg, Parameter.KEYWORD_ONLY, default=default))
    if given.kwarg:
        found.append(Parameter(given.kwarg.arg, Parameter.VAR_KEYWORD))
    return Signature(found)


def refusal(new: Signature, count: int, names: Iterable[str]) -> str:
    """Return why *new* can't take a call of *count* positional arguments and these named ones.

    Nothing, if it can.
    """
    try:
        new.bind(*range(count), **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return ""


def narrowed(old: Signature, new: Signature) -> str:
    """Return why a call that *old* took can't be given to *new*; nothing, if each can."""
    before = [p.name for p in old.parameters.values() if p.kind in _POSITIONAL]
    after = [p.name for p in new.parameters.values() if p.kind in _POSITIONAL]
    for one, other in zip(before, after, strict=False):
        if one != other and one in after:
            return f"its arguments stand in another order: {one!r} is where {other!r} was"
    for count, names in _calls(old):
        if why := refusal(new, count, names):
            return why
    return ""


def _calls(signature: Signature) -> Iterator[tuple[int, list[str]]]:
    """Yield calls that together use all of a signature: the least and the most, by place and name.

    ``*args`` and ``**kwargs`` stand for any number, which is tried by some more.
    """
    every = list(signature.parameters.values())
    for least in (True, False):
        wanted = [p for p in every if not least or p.default is Parameter.empty]
        by_place = [p for p in wanted if p.kind in _POSITIONAL]
        by_name = [p.name for p in wanted if p.kind is Parameter.KEYWORD_ONLY]
        more = [] if least else [p.kind for p in every]
        any_name = ["any_other_name"] if Parameter.VAR_KEYWORD in more else []
        some = 50 if Parameter.VAR_POSITIONAL in more else 0
        yield len(by_place) + some, [*by_name, *any_name]
        only = [p for p in by_place if p.kind is Parameter.POSITIONAL_ONLY]
        named = [p.name for p in by_place if p.kind is not Parameter.POSITIONAL_ONLY]
        yield len(only), [*named, *by_name]
