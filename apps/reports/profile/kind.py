"""The type of a column: the narrowest that all of its values have."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum

from . import moment, number


class Kind(StrEnum):
    """What a column holds. ``INSTANT`` is a datetime with an offset; reports call it datetime."""

    EMPTY = "empty"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    INSTANT = "instant"
    TEXT = "text"

    @property
    def is_numeric(self) -> bool:
        return self in {Kind.INTEGER, Kind.NUMBER}

    @property
    def is_temporal(self) -> bool:
        return self in {Kind.DATE, Kind.DATETIME, Kind.INSTANT}


def is_boolean(value: str) -> bool:
    """Tell whether *value* is true or false, in any case. (1/0 and yes/no stay what they are.)"""
    return value.lower() in {"true", "false"}


#: In this order: an integer is a number as well.
_TESTS: dict[Kind, Callable[[str], object]] = {
    Kind.INTEGER: number.is_integer,
    Kind.NUMBER: number.is_number,
    Kind.BOOLEAN: is_boolean,
    Kind.DATE: moment.is_date,
    Kind.DATETIME: moment.is_datetime,
    Kind.INSTANT: moment.is_instant,
}

_WIDER = {
    frozenset({Kind.INTEGER, Kind.NUMBER}): Kind.NUMBER,
    frozenset({Kind.DATE, Kind.DATETIME}): Kind.DATETIME,
}


def join(one: Kind, other: Kind) -> Kind:
    """Return the narrowest kind that has the values of both: the join of a semilattice.

    So the result is the same in whatever order the values come.
    """
    if one == other or other == Kind.EMPTY:
        return one
    if one == Kind.EMPTY:
        return other
    return _WIDER.get(frozenset({one, other}), Kind.TEXT)


def kind_of(values: Collection[str]) -> Kind:
    """Return the kind of a column with these non-null *values*."""
    first = next(iter(values), None)
    if first is None:
        return Kind.EMPTY
    kind = _kind_of_one(first)
    # Most columns are of one kind throughout: then this loop, in C, is all.
    if kind == Kind.TEXT or all(map(_TESTS[kind], values)):
        return kind
    for value in values:
        kind = join(kind, _kind_of_one(value))
        if kind == Kind.TEXT:
            break
    return kind


def _kind_of_one(value: str) -> Kind:
    return next((kind for kind, test in _TESTS.items() if test(value)), Kind.TEXT)
