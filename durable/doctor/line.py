"""One line of the table."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How bad it is; the worst of all lines is the exit code."""

    OK = 0
    WARN = 1
    FAIL = 2


class Line(NamedTuple):
    """A finding, and the remedy."""

    part: str
    name: str
    level: Level
    says: str
    #: What to do, unless all is well.
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it for JSON."""
        return {**self._asdict(), "level": self.level.name.lower()}


def worst(lines: Iterable[Line]) -> Level:
    """Return the worst level of *lines*."""
    return max((line.level for line in lines), default=Level.OK)


def graded(value: float, warn: float, fail: float) -> Level:
    """Return the level of a *value* that should be small."""
    return Level.FAIL if value >= fail else Level.WARN if value >= warn else Level.OK
