"""Arguments that the journal does not keep: by their names, or because the task says so.

``@shared_task(sensitive=("card",))`` names parameters of one task, ``HISTORY_REDACT`` names those
of all: whole words within a name, so that ``card`` finds ``card`` and ``customer_card``, and not
``discard``. Dicts and lists inside of arguments are searched too, and so are the tasks of a canvas.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from celery import current_app

from durable.database.text import text_of

from . import conf

MARK = "[redacted]"
#: Shorter ones would be found all over an error's text.
SHORTEST = 4


class Redacted(NamedTuple):
    """The arguments that are left, and those taken out, as text."""

    args: list[Any]
    kwargs: dict[str, Any]
    embed: dict[str, Any]
    taken: list[str]

    def clean(self, text: str) -> str:
        """Return *text* without what was taken out of the arguments."""
        for secret in sorted(filter(None, self.taken), key=len, reverse=True):
            text = text.replace(secret, MARK)
        return text


def redact(task: str, args: Any, kwargs: Any, embed: Any = None) -> Redacted | None:
    """Return the arguments of a call without what must not be kept; ``None``: all may be."""
    taken: list[str] = []
    found = _call(task, args or (), kwargs or {}, taken)
    around = _walk(embed or {}, taken)
    return Redacted(*found, around, taken) if taken else None


def is_named(name: object) -> bool:
    """Return whether ``HISTORY_REDACT`` has this name."""
    return isinstance(name, str) and _is_named(name, tuple(conf.get("REDACT")))


@lru_cache(maxsize=4096)
def _is_named(name: str, redact: tuple[str, ...]) -> bool:
    pattern = _pattern(redact)
    return pattern is not None and bool(pattern.search(_snake(name)))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower()


@cache
def _pattern(redact: tuple[str, ...]) -> re.Pattern[str] | None:
    words = [re.escape(_snake(word)) for word in redact]
    return re.compile(rf"(?:^|_)(?:{'|'.join(words)})s?(?:_|$)") if words else None


def _call(task: str, args: Any, kwargs: Any, taken: list[str]) -> tuple[list[Any], dict[str, Any]]:
    declared = current_app.tasks.get(task)
    own = frozenset(getattr(declared, "sensitive", None) or ())
    names = _names_of(declared.run) if declared is not None and args else ()
    left = []
    for number, value in enumerate(args):
        name = names[number] if number < len(names) else names[-1] if names else ""
        if name in own or is_named(name):
            _take(value, taken)
            left.append(MARK)
        else:
            left.append(_walk(value, taken))
    return left, _mapping(kwargs, taken, own)


def _mapping(values: Any, taken: list[str], own: frozenset[str] = frozenset()) -> dict[Any, Any]:
    found = {}
    for name, value in values.items():
        if name in own or is_named(name):
            _take(value, taken)
            found[name] = MARK
        else:
            found[name] = _walk(value, taken)
    return found


def _walk(value: Any, taken: list[str]) -> Any:
    if isinstance(value, Mapping):
        if isinstance(value.get("task"), str) and isinstance(value.get("args"), (list, tuple)):
            # A signature: the next task of a chain, a callback, a chord's body.
            kwargs = value.get("kwargs") or {}
            args, named = _call(value["task"], value["args"], kwargs, taken)
            rest = {key: one for key, one in value.items() if key not in ("args", "kwargs")}
            return {**_mapping(rest, taken), "args": args, "kwargs": named}
        return _mapping(value, taken)
    if isinstance(value, (list, tuple)):
        return [_walk(one, taken) for one in value]
    return value


def _take(value: Any, taken: list[str]) -> None:
    taken.append("")  # that something was
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            _take(one, taken)
    elif len(text := text_of(value)) >= SHORTEST:
        taken[-1] = text


@lru_cache(maxsize=4096)
def _names_of(run: Any) -> tuple[str, ...]:
    """Return the names of positional parameters; the last one's is that of ``*args``, if any."""
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    try:
        found = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(one.name for one in found if one.kind in positional)
