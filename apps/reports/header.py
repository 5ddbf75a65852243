"""The names of the columns: each present, each once, not too many."""

from __future__ import annotations

from collections import Counter

from .errors import CsvError

#: A worker keeps a summary of each column in memory.
MAX_COLUMNS = 500


def parse_header(row: list[str], line: int) -> list[str]:
    """Return the names in the header *row*, without the blanks around them.

    :param line: where the header stands, for the messages.
    :raises CsvError: a name is missing or used twice, or there are too many.
    """
    if len(row) > MAX_COLUMNS:
        raise CsvError(
            "too_many_columns",
            f"The file has {len(row):,} columns, and at most {MAX_COLUMNS:,} are profiled.",
            line,
        )
    names = [name.strip() for name in row]
    if "" in names:
        number = names.index("") + 1
        raise CsvError(
            "empty_column",
            f"Column {number} of {len(names)} has no name in the header (line {line}). "
            "Give every column a name; the first line of the file is the header.",
            line,
        )
    twice = [_shown(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise CsvError(
            "duplicate_column",
            f"The header (line {line}) holds more than one column named "
            f"{', '.join(twice[:5])}{more}. Give every column a name of its own.",
            line,
        )
    return names


def _shown(name: str) -> str:
    return f"“{name if len(name) <= 60 else name[:60] + '…'}”"
