"""Time zones by the names that every part of the stack knows.

Python brings all names there ever were (tzdata of the package index). The base image and
PostgreSQL's come from Debian, which has moved the old ones, US/Eastern among them, into a package
that neither has: Django then refuses to start in the image and not beside it, or a query that
names the zone fails.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .reader import ExpectedError

A_TIME_ZONE = "a time zone's name such as UTC or Europe/Berlin"

#: Not in tzdata.zi as old names of others, but Debian has them as such.
RULES = {
    "EST5EDT": "America/New_York",
    "CST6CDT": "America/Chicago",
    "MST7MDT": "America/Denver",
    "PST8PDT": "America/Los_Angeles",
}


def time_zone(name: str) -> str:
    """Return *name*, a time zone.

    :raises ValueError: no such zone, or an old name; :class:`ExpectedError` says today's.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(name) from error
    if name not in {"UTC", "GMT"} and not name.startswith("Etc/") and name in _old():
        raise ExpectedError(f"{_old()[name]}, today's name of this time zone")
    return name


@cache
def _old() -> dict[str, str]:
    """Return the names that only stand for another one, each with that."""
    folder = files("tzdata") / "zoneinfo"
    lines = (folder / "tzdata.zi").read_text("utf-8").splitlines()
    links = {old: new for kind, new, old in map(_three, lines) if kind == "L"}
    rows = (line.split("\t") for line in (folder / "zone.tab").read_text("utf-8").splitlines())
    # A country's own zone may be a link to another's that has had the same time: no old name.
    used = {row[2] for row in rows if len(row) > 2}
    return {old: new for old, new in links.items() if old not in used} | RULES


def _three(line: str) -> list[str]:
    return [*line.split(" ", 2), "", ""][:3]
