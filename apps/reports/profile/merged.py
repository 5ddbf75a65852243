"""The profile of a file, put together from those of its chunks."""

from __future__ import annotations

from typing import Any

from .column import Column
from .outcome import outcome

#: Values with their counts that all columns together may keep: some 20 MB of a worker's memory.
MAX_VALUES = 100_000
#: Hashes, of 8 bytes each, likewise. A column has two sketches at most (see Column.canonical).
MAX_HASHES = 1_000_000


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
        """Keep to the limits above, which only files of very many columns reach."""
        kept = [
            values
            for column in self.columns
            for values in (column.values, column.canonical)
            if values is not None
        ]
        for values in kept:
            values.limit_sketch(MAX_HASHES // (2 * len(self.columns)))
        sizes = [len(values.counts) for values in kept]
        if sum(sizes) > MAX_VALUES:
            # To half of it, so that this is not done again for every chunk; the fullest give way.
            limit = max(sizes)
            while sum(min(size, limit) for size in sizes) > MAX_VALUES // 2:
                limit //= 2
            for values in kept:
                values.shrink(limit)

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
