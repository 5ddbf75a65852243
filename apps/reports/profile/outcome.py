"""What a report says about a column, as JSON that any program can read (no NaN, no Infinity)."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from . import moment
from .column import Column
from .histogram import Histogram
from .kind import Kind
from .values import SHOWN, Values, shown

TOP = 10  # values listed
#: The narrowest bins: nothing lies between two integers or two days, and 2**-13 days (about ten
#: seconds) are the least that is a whole number of microseconds.
_FINEST = {Kind.INTEGER: 0, Kind.DATE: 0, Kind.DATETIME: -13, Kind.INSTANT: -13}


def outcome(column: Column) -> dict[str, Any]:
    """Return the report of a column.

    - ``type``: boolean, integer, number, date, datetime, text, or empty
    - ``count``: cells that hold a value; ``nulls``: those that don't
    - ``distinct``: different values, as the type sees them: 1 and 1.0 are one number
    - ``min``, ``max``: numbers as numbers, dates in ISO 8601 (those with an offset in UTC), text
      by code point and cut to 100 characters
    - ``mean``, ``stddev`` (of a sample) of numbers
    - ``histogram`` of numbers and dates: bins ``from`` (inclusive) ``to`` (exclusive)
    - ``top``: the most frequent values. When ``top_is_estimate``, the counts are lower bounds, and
      only values are listed that are certainly more frequent than all others.
    """
    values = column.canonical or column.values
    read = _reader(column.kind)
    low, high = _range(column)
    sums = column.sums
    return {
        "type": Kind.DATETIME.value if column.kind == Kind.INSTANT else column.kind.value,
        "count": column.count,
        "nulls": column.nulls,
        "distinct": min(values.distinct(), column.count),
        "distinct_is_estimate": not values.distinct_is_exact,
        "min": low,
        "max": high,
        "mean": sums.mean() if sums else None,
        "stddev": sums.stddev() if sums else None,
        "histogram": _histogram(column),
        "top": _top(values, read),
        "top_is_estimate": values.missed > 0,
    }


def _reader(kind: Kind) -> Callable[[str], Any]:
    """Return what makes a value as it is reported of a canonical one."""
    if kind == Kind.INTEGER:
        return int
    if kind == Kind.NUMBER:
        return float
    if kind == Kind.BOOLEAN:
        return lambda key: key == "true"
    if kind == Kind.DATETIME:
        return lambda key: key if "T" in key else f"{key}T00:00:00"
    return shown


def _top(values: Values, read: Callable[[str], Any]) -> list[dict[str, Any]]:
    items = [(read(key), count) for key, count in values.frequent()]
    items.sort(key=lambda item: item[0])
    items.sort(key=lambda item: item[1], reverse=True)  # stable: equally frequent ones by value
    return [{"value": value, "count": count} for value, count in items[:TOP]]


def _range(column: Column) -> tuple[Any, Any]:
    if column.kind == Kind.EMPTY:
        return None, None
    if column.histogram is not None:
        point = _point(column.kind, whole_days=column.kind == Kind.DATE)
        return point(column.histogram.low), point(column.histogram.high)
    if column.kind == Kind.BOOLEAN:
        return column.low.lower() == "true", column.high.lower() == "true"
    return _cut(column.low), _cut(column.high)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _point(kind: Kind, whole_days: bool) -> Callable[[Fraction], Any]:
    """Return what makes a value as it is reported of a place on a histogram's axis."""
    if kind == Kind.INTEGER:
        return int
    if kind == Kind.NUMBER:
        return _double

    def point(days: Fraction) -> str:
        at = moment.at(math.floor(days * moment.MICROSECONDS_A_DAY))
        if whole_days:
            return at.date().isoformat()
        return at.isoformat() + ("Z" if kind == Kind.INSTANT else "")

    return point


def _double(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:  # the far end of the last bin
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _histogram(column: Column) -> dict[str, Any] | None:
    histogram: Histogram | None = column.histogram
    if histogram is None:
        return None
    if histogram.exponent is None:
        point = _point(column.kind, whole_days=column.kind == Kind.DATE)
        at = point(histogram.low)
        return {"bins": [{"from": at, "to": at, "count": histogram.bins[0]}]}
    exponent = max(histogram.exponent, _FINEST.get(column.kind, histogram.exponent))
    bins = histogram.coarsened(exponent)
    point = _point(column.kind, whole_days=exponent >= 0 and column.kind != Kind.INSTANT)
    width = Fraction(2) ** exponent
    return {
        "bins": [
            {
                "from": point(index * width),
                "to": point((index + 1) * width),
                "count": bins.get(index, 0),
            }
            for index in range(min(bins), max(bins) + 1)
        ]
    }
