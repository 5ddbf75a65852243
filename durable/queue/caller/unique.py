"""Calls that are written once: while another one waits or runs, for a time, or for an event.

The database's own unique indexes decide, in the caller's transaction: no lock outlives a crash, and
a call that is rolled back blocks no other one.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from datetime import timedelta
from typing import Any, Literal

from celery.result import AsyncResult
from kombu.utils.json import dumps

from durable.journal import conf as journal

from ..store import Once
from .options import LONGEST_TEXT

#: Days that an event is remembered where there is no journal.
DAYS = 7


class Unique:
    """A task whose calls are written only if there is no other one with their key.

    A call returns the task's ``AsyncResult`` in any case: the one that is there, if it is not new
    (``result.is_new``).
    """

    def __init__(self, task: Any, once: Once) -> None:
        self._task, self._once = task, once

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call the task with the transaction, unless that has been done."""
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult:
        """Like ``delay_on_commit()``, with the options of ``apply_async()``."""
        return self._task.apply_async_on_commit(args, kwargs, unique=self._once, **options)


def once(
    task: str, key: Any, while_: Literal["waiting", "unfinished"] | None, within: timedelta | None
) -> Once:
    """Return what makes a call unique.

    :raises TypeError, ValueError: it says nothing, two things at once, or what no column can hold.
    """
    if while_ is not None and within is not None:
        raise TypeError(f"{task}: unique() takes while_= or within=, and not both")
    if while_ not in (None, "waiting", "unfinished"):
        raise ValueError(f'{task}: unique(while_={while_!r}): expected "waiting" or "unfinished"')
    if within is not None and within <= timedelta():
        raise ValueError(f"{task}: unique(within={within!r}): expected a time that is positive")
    text = None if key is None else _text(task, "key", key)
    seconds = None if within is None else within.total_seconds()
    return Once(text, while_ == "unfinished", seconds)


def of_event(task: str, event: Any) -> Once:
    """Return what lets a call be written once for an event from outside (``dedupe=``)."""
    days = journal.days() or DAYS
    return Once(f"event {_text(task, 'dedupe', event, 6)}", False, days * 86_400)


def of(task: Any, options: dict[str, Any]) -> Once | None:
    """Take out of a call's options what makes it unique.

    :raises TypeError, ValueError: it says two things at once, or what no column can hold.
    """
    asked: Once | None = options.pop("unique", None)
    event = options.pop("dedupe", None)
    if event is None:
        return asked
    if asked is not None:
        raise TypeError(f"{task.name}: a call takes unique() or dedupe=, and not both")
    return of_event(task.name, event)


def refuse_plain(task: str, options: dict[str, Any]) -> None:
    """Refuse what only a row can keep.

    :raises TypeError: it says which.
    """
    for name in ("unique", "dedupe", "concurrency_key", "limit"):
        if options.get(name) is not None:
            raise TypeError(
                f"{task}: {name}= is kept by the row of a durable call, and this call is plain; "
                "call it by delay_on_commit() or apply_async_on_commit()"
            )


def key_of(task: Any, args: Any, kwargs: Any) -> str:
    """Return the key of a call that names none: its arguments, however they were passed."""
    if (dump := task._dump_pydantic_arguments) is not None:
        args, kwargs = dump(args, kwargs)
    try:
        bound = inspect.signature(task.run).bind(*args, **kwargs)
        bound.apply_defaults()
        args, kwargs = bound.args, bound.kwargs
    except TypeError:  # the task checks no arguments
        pass
    given = json.dumps(json.loads(dumps([args, kwargs])), sort_keys=True)
    return f"arguments {hashlib.sha256(given.encode()).hexdigest()}"


def _text(task: str, name: str, value: Any, less: int = 0) -> str:
    text = str(value)
    if not text or len(text) > LONGEST_TEXT - less or "\0" in text:
        raise ValueError(
            f"{task}: {name}={text[:40]!r}… must have 1 to {LONGEST_TEXT - less} characters, and "
            "no NUL among them"
        )
    return text
