"""Dates and times in ISO 8601's extended format; whatever else is written stays text.

``01/02/03`` means three different days in three countries, so it is not guessed.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-9]{2}"
    # Nine digits are nanoseconds; those that a datetime can't hold must be zero.
    r"(?::[0-9]{2}(?:\.[0-9]{1,6}(?:000)?)?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_BEGIN = datetime(1, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_A_DAY = 86_400_000_000


def is_date(value: str) -> bool:
    """Tell whether *value* is a day that exists, such as 2013-01-31."""
    if not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_datetime(value: str) -> bool:
    """Tell whether *value* is a day and a time without an offset."""
    match = _DATETIME.fullmatch(value)
    return match is not None and not match[1] and _exists(value)


def is_instant(value: str) -> bool:
    """Tell whether *value* is a day and a time with an offset (or Z), a point in time."""
    match = _DATETIME.fullmatch(value)
    return match is not None and bool(match[1]) and _exists(value)


def parse(value: str) -> int:
    """Return a moment as microseconds since the beginning of the year 1, an instant's in UTC."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - _BEGIN) // _MICROSECOND


def canonical(microseconds: int, suffix: str = "") -> str:
    """Return the one way to write a moment; at midnight without an offset it is the day alone.

    :param suffix: ``Z`` for an instant.
    """
    moment = at(microseconds)
    if not suffix and moment.time() == datetime.min.time():
        return moment.date().isoformat()
    return moment.isoformat() + suffix


def at(microseconds: int) -> datetime:
    """Return the moment so many microseconds after the beginning of the year 1, at most 9999."""
    return _BEGIN + min(timedelta(microseconds=microseconds), datetime.max - _BEGIN)


def _exists(value: str) -> bool:
    try:
        parse(value)
    except (ValueError, OverflowError):  # 25:61, or the year 0 after the offset is applied
        return False
    return True
