"""The filter bar: ``task:mail state:failed older:1h``, as conditions on rows and on the journal.

It stands in the address of a page as it was typed, and in a deed as it was confirmed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import datetime, timedelta
from json import dumps
from typing import NamedTuple

from django.db.models import BooleanField, Case, Q, When
from django.utils import timezone

from durable.journal import entry, redaction
from durable.queue.states import STATES

#: States of ended tasks, as a person writes them.
ENDED = {
    "done": ("SUCCESS", "IGNORED"),
    "failed": entry.FAILED,
    "revoked": ("REVOKED",),
    "discarded": (entry.DISCARDED,),
}
#: Failures that no person has discarded: an index holds them alone.
FAILED = Q(state__in=entry.FAILED, discarded_at=None)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class FilterError(ValueError):
    """The filter can't be understood; the message says what would be right."""


class Filter(NamedTuple):
    """The conditions of a filter, on unfinished rows and on entries; ``None``: none of them."""

    text: str
    rows: Q | None
    entries: Q | None
    #: An index leads to what it asks for, so that no part of the tables has to be searched.
    few_rows: bool
    few_entries: bool
    #: What an index holds alone, and has all entries that it asks for.
    among: Q = Q()


def parse(text: str, now: datetime | None = None, *, sees_arguments: bool = True) -> Filter:
    """Return what *text* asks for.

    :param now: the moment that its ages and states are of.
    :param sees_arguments: who asks may: a count tells of them, too.
    :raises FilterError: a word of it has no meaning, or is not for who asks.
    """
    now = now or timezone.now()
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise FilterError(f"{error}: a quotation mark is missing") from None
    rows, entries = Q(), Q()
    states: list[str] = []
    by_id = False
    for word in words:
        key, colon, value = word.partition(":")
        if not colon:
            key = "id" if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", word) else "task"
            value = word
        if not value:
            raise FilterError(f"{word} asks for nothing: write {key}:VALUE")
        if key == "state":
            if value not in STATES and value not in ENDED:
                raise FilterError(f"{word}: the states are {', '.join([*STATES, *ENDED])}")
            states.append(value)
            continue
        if key not in _WORDS:
            raise FilterError(f"{word}: the words are {', '.join([*_WORDS, 'state'])}")
        if key == "arg" and not sees_arguments:
            raise FilterError("arg: needs the permission to see arguments")
        row, ended = _WORDS[key](value, now)
        rows, entries = rows & row, entries & ended
        by_id |= key == "id"
    return _with_states(text, rows, entries, states, by_id, now)


def _with_states(
    text: str, rows: Q, entries: Q, states: list[str], by_id: bool, now: datetime
) -> Filter:
    waiting = [name for name in states if name in STATES]
    ended = [name for name in states if name in ENDED]
    few = bool(waiting) and not {"ready", "scheduled", "limited"} & set(waiting)
    if not states:
        return Filter(text, rows, entries, few, by_id)
    some, past = Q(), Q()
    for name in waiting:
        some |= _state(name, now)
    for name in ended:
        past |= _ended(name)
    return Filter(
        text,
        rows & some if waiting else None,
        entries & past if ended else None,
        few,
        by_id,
        FAILED if {*ended} == {"failed"} else Q(),
    )


def _state(name: str, now: datetime) -> Q:
    if name == "scheduled":
        return STATES[name].columns & Q(due_at__gt=now)
    return STATES[name].columns & Q(due_at__lte=now) if name == "ready" else STATES[name].columns


def _ended(name: str) -> Q:
    if name == "failed":
        return FAILED
    found = Q(state__in=ENDED[name])
    return found | Q(discarded_at__isnull=False) if name == "discarded" else found


def _named(column: str) -> Callable[[str, datetime], tuple[Q, Q]]:
    def condition(value: str, now: datetime) -> tuple[Q, Q]:
        if value.startswith("="):
            found = Q(**{column: value[1:]})
        else:
            found = Q(**{f"{column}__contains": value})
        return found, found

    return condition


def _task_id(value: str, now: datetime) -> tuple[Q, Q]:
    return Q(task_id=value.removeprefix("=")), Q(task_id=value.removeprefix("="))


def _header(name: str) -> Callable[[str, datetime], tuple[Q, Q]]:
    def condition(value: str, now: datetime) -> tuple[Q, Q]:
        found = Q(headers__contains=f'"{name}": "{value}"')
        return found, found

    return condition


def _argument(value: str, now: datetime) -> tuple[Q, Q]:
    name, equals, wanted = value.partition("=")
    if not equals:
        found = Q(body__contains=value) | Q(body__contains=dumps(value)[1:-1])
    else:
        number = wanted if re.fullmatch(r"-?\d+(\.\d+)?|true|false|null", wanted) else None
        found = Q(body__contains=f'"{name}": {dumps(wanted)}')
        if number:
            found |= Q(body__contains=f'"{name}": {number},')
            found |= Q(body__contains=f'"{name}": {number}}}')
    # A row has the secrets that no page shows: a search would tell them letter by letter.
    hidden = Q(task__in=redaction.tasks()) | Q(body__regex=redaction.in_json())
    # In a CASE: PostgreSQL would take the expression for the cheaper test, and begin with it.
    return Q(Case(When(found, then=~hidden), default=False, output_field=BooleanField())), found


def _age(value: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if not match:
        raise FilterError(f"{value}: expected an age such as 30s, 15m, 2h or 3d")
    return timedelta(seconds=int(match[1]) * UNITS[match[2]])


def _older(value: str, now: datetime) -> tuple[Q, Q]:
    return Q(created_at__lt=now - _age(value)), Q(ended_at__lt=now - _age(value))


def _newer(value: str, now: datetime) -> tuple[Q, Q]:
    return Q(created_at__gte=now - _age(value)), Q(ended_at__gte=now - _age(value))


def _error(value: str, now: datetime) -> tuple[Q, Q]:
    if value.startswith("="):  # of an entry it is the exception's class, or none
        return Q(error=value[1:]), Q(error=value[1:] or None)
    # What a task returned is no error, and not for everyone.
    says = Q(result__contains=value) & ~Q(state="SUCCESS")
    return Q(error__contains=value), Q(error__contains=value) | says


def _worker(value: str, now: datetime) -> tuple[Q, Q]:
    return Q(worker__contains=value), Q(host__contains=value)


def _place(value: str, now: datetime) -> tuple[Q, Q]:
    return Q(pk__in=[]), Q(place=value.removeprefix("=") or None)


_WORDS: dict[str, Callable[[str, datetime], tuple[Q, Q]]] = {
    "task": _named("task"), "queue": _named("queue"), "id": _task_id,
    "error": _error, "place": _place, "worker": _worker, "arg": _argument,
    "user": _header("user"), "request": _header("request_id"), "older": _older, "newer": _newer,
}  # fmt: skip
WORDS = (*_WORDS, "state")
