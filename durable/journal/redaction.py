"""Arguments that no journal, log, trace or report keeps: by their names, or as the task says so.

``@shared_task(sensitive=("card",))`` names parameters of one task, ``HISTORY_REDACT`` names those
of all: whole words within a name, so that ``card`` finds ``card`` and ``customer_card``, and not
``discard``. Dicts and lists inside of arguments are searched too, and so are the tasks of a canvas.

``here()`` is what is secret where a text is made: of the attempt that runs, or of the calls that
the code between two attempts tells of (``about()``).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple
from weakref import ReferenceType, WeakKeyDictionary, ref

from celery import current_app, current_task
from kombu.utils.json import loads

from durable.database.text import text_of
from durable.discovery import load_tasks

from . import conf

MARK = "[redacted]"
#: Values in which no others are.
_SCALARS = frozenset({str, int, float, bool, type(None)})
#: Shorter ones would be found all over an error's text.
SHORTEST = 4


class Redacted(NamedTuple):
    """The arguments that are left, and those taken out, in each way that a text may have them."""

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
    """Return the arguments of a call without what must not be kept; ``None``: all may be.

    Of arguments that can't be walked over (a thousand lists in each other) nothing is kept: a task
    must not be kept from ending by them.
    """
    taken: list[str] = []
    try:
        if not kwargs and not (embed and any(embed.values())) and _is_plain(task, args or ()):
            return None
        found = _call(task, args or (), kwargs or {}, taken)
        around = _walk(embed or {}, taken)
    except Exception:
        return Redacted([MARK], {}, {}, taken)
    return Redacted(*found, around, taken) if taken else None


#: Returns what is secret of a call; asked once there is a text to clean.
Told = Callable[[], Redacted | None]

#: The calls that are told of here while no attempt of theirs runs.
told: ContextVar[tuple[Told, ...]] = ContextVar("durable_told", default=())
#: The newest attempt's task and request: Celery tells of some once they are over.
_newest: ContextVar[tuple[str, ReferenceType[Any]] | None] = ContextVar("durable_newest")
#: By the request of an attempt. Not an attribute of it: Celery copies those.
_known: WeakKeyDictionary[Any, Redacted | None] = WeakKeyDictionary()


def begun(task: Any) -> None:
    """Take note of an attempt; it is forgotten with Celery's request."""
    _newest.set((task.name, ref(task.request)))


@contextmanager
def about(*calls: Told) -> Iterator[None]:
    """Hide the secret arguments of *calls* in what is said inside."""
    token = told.set(calls)
    try:
        yield
    finally:
        told.reset(token)


def of_row(row: Any) -> Told:
    """Return what knows what is secret of a row."""
    return partial(_of_body, row.task, row.body)


def _of_body(task: str, body: str) -> Redacted | None:
    for read in (loads, json.loads):  # a date that is none can't be read, and is some text
        with suppress(Exception):
            return redact(task, *read(body))
    return None


def here() -> Redacted | None:
    """Return what is secret where a text is made; ``None``: nothing is."""
    if current_task and (request := current_task.request).id:
        return _of_attempt(current_task.name, request)
    calls = told.get()
    if newest := _newest.get(None):
        calls = (*calls, partial(_of_newest, *newest))
    taken: list[str] = []
    for call in calls:
        with suppress(Exception):  # what can't be read has no arguments
            if found := call():
                taken += found.taken
    return Redacted([], {}, {}, taken) if taken else None


def _of_newest(task: str, found: ReferenceType[Any]) -> Redacted | None:
    request = found()
    return None if request is None else _of_attempt(task, request)


def _of_attempt(task: str, request: Any) -> Redacted | None:
    """Its arguments are walked once an attempt, and not for each of its lines."""
    if request not in _known:
        _known[request] = redact(task, request.args or (), request.kwargs or {})
    return _known[request]


def clean(text: str) -> str:
    """Return *text* without what is secret here."""
    found = here()
    return found.clean(text) if found else text


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


def tasks() -> list[str]:
    """Return the tasks of which an argument is secret by its place or by the task's own word."""
    load_tasks()
    return [
        name for name, task in current_app.tasks.items()
        if getattr(task, "sensitive", None) or getattr(task, "tells_of", None)
        or _has_named(task.run, tuple(conf.get("REDACT")))
    ]  # fmt: skip


def in_json() -> str:
    """Return PostgreSQL's regular expression for a body that has a secret name, or such a task."""
    bound = '[^A-Za-z0-9"]|(?<=[a-z0-9])(?=[A-Z])'
    words = [
        "".join(
            f"(?:{bound})+" if one == "_" else f"[{one}{one.upper()}]" for one in _snake(word)
        )
        for word in conf.get("REDACT")
    ]  # fmt: skip
    names = f'(?:[^"]*(?:{bound}))?(?:{"|".join(words)})[sS]?(?:(?:{bound})[^"]*)?": '
    following = f'task": "(?:{"|".join(map(re.escape, tasks()))})"'
    return f'"(?:{names if words else following}|{following})'


def _is_plain(task: str, args: Any) -> bool:
    """Return whether nothing of *args* is secret, by a look that costs a task little."""
    declared = current_app.tasks.get(task)
    if declared is None or not all(type(value) in _SCALARS for value in args):
        return False
    names = getattr(declared, "sensitive", None) or getattr(declared, "tells_of", None)
    return not names and not _has_named(declared.run, tuple(conf.get("REDACT")))


@lru_cache(maxsize=4096)
def _has_named(run: Any, redact: tuple[str, ...]) -> bool:
    return any(_is_named(name, redact) for name in _names_of(run))


def _call(task: str, args: Any, kwargs: Any, taken: list[str]) -> tuple[list[Any], dict[str, Any]]:
    if task and task not in current_app.tasks:
        load_tasks()  # a process of web may not have needed it yet
    declared = current_app.tasks.get(task)
    own = frozenset(getattr(declared, "sensitive", None) or ())
    names = _names_of(declared.run) if declared is not None and args else ()
    if (other := getattr(declared, "tells_of", None)) and len(args) == len(names):
        return _other(dict(zip(names, args, strict=False)), other, taken), kwargs
    left = []
    for number, value in enumerate(args):
        name = names[number] if number < len(names) else names[-1] if names else ""
        if name in own or is_named(name):
            _take(value, taken)
            left.append(MARK)
        else:
            left.append(_walk(value, taken))
    return left, _mapping(kwargs, taken, own)


def _other(call: dict[str, Any], tells_of: tuple[str, str, str], taken: list[str]) -> list[Any]:
    """Return the arguments of a task that tells of another one's call, and of its error."""
    name, args, kwargs = tells_of
    found = _call(call[name], call[args], call[kwargs], taken)
    said = Redacted([], {}, {}, taken)
    left = {
        key: [said.clean(one) if isinstance(one, str) else one for one in value]
        if isinstance(value, list) else value
        for key, value in call.items()
    }  # fmt: skip
    return list({**left, args: found[0], kwargs: found[1]}.values())


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
        kwargs = value.get("kwargs") or {}
        is_call = isinstance(value.get("args"), (list, tuple)) and isinstance(kwargs, Mapping)
        if is_call and isinstance(value.get("task"), str):
            # A signature: the next task of a chain, a callback, a chord's body.
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
        as_json = (json.dumps(text, ensure_ascii=one)[1:-1] for one in (True, False))
        taken += {text, repr(text)[1:-1], *as_json}


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
