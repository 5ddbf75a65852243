"""The profile of a file, put together from those of its chunks."""

from __future__ import annotations

from typing import Any

from .column import Column
from .outcome import outcome
from .values import Values

#: Values that all columns together may keep: some 30 MB of a worker's memory.
MAX_VALUES = 150_000


class Merged:
    """Partial profiles, merged one after the other."""

    def __init__(self) -> None:
        self.columns: list[Column] = []

    def add(self, part: list[Column]) -> None:
        """Add the partial profile of the next chunk; it is used up."""
        if not self.columns:
            self.columns = part
        else:
            for column, other in zip(self.columns, part, strict=True):
                column.merge(other)
        self._shrink()

    def _shrink(self) -> None:
        # With hundreds of columns of many values each, the fullest give way.
        kept = [
            values
            for column in self.columns
            for values in (column.values, column.canonical)
            if values is not None
        ]
        while sum(len(values.counts) for values in kept) > MAX_VALUES:
            fullest: Values = max(kept, key=lambda values: len(values.counts))
            fullest.shrink(len(fullest.counts) // 2)

    def result(self, names: list[str], rows: int) -> dict[str, Any]:
        """Return the report.

        :raises ValueError: the parts don't add up to *rows*; a part is missing or there twice.
        """
        for column in self.columns:
            if column.count + column.nulls != rows:
                raise ValueError(f"{column.count + column.nulls} cells in {rows} rows")
        return {
            "rows": rows,
            "columns": [
                {"name": name, **outcome(column)}
                for name, column in zip(names, self.columns, strict=True)
            ],
        }
