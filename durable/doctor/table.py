"""The lines as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .line import Level, Line, worst

MARKS = {Level.OK: "ok  ", Level.WARN: "WARN", Level.FAIL: "FAIL"}
COLORS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "31"}


def as_text(lines: Iterable[Line], *, color: bool = False) -> Iterator[str]:
    """Yield the table's lines: level, part, name, what is; below it what to do."""
    rows = list(lines)
    named = [row.part for row in rows], [row.name for row in rows]
    widths = [max((len(text) for text in texts), default=0) for texts in named]
    for row in rows:
        mark = MARKS[row.level]
        mark = f"\033[{COLORS[row.level]}m{mark}\033[0m" if color else mark
        yield f"{mark}  {row.part:<{widths[0]}}  {row.name:<{widths[1]}}  {row.says}".rstrip()
        if row.level and row.do:
            yield f"{'':{sum(widths) + 10}}→ {row.do}"
    counts = [sum(row.level == level for row in rows) for level in Level]
    yield f"{counts[0]} well, {counts[1]} to look at, {counts[2]} to mend"


def summary(lines: Iterable[Line]) -> dict[str, object]:
    """Return the table for JSON."""
    rows = list(lines)
    return {"level": worst(rows).name.lower(), "lines": [row.as_dict() for row in rows]}
