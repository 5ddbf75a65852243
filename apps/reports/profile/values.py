"""Which values a column holds, and how often: exactly while they are few, in summary after.

The summary of the frequent ones is Misra and Gries' ("Finding repeated elements", 1982), merged as
Agarwal et al. ("Mergeable summaries", 2012) do it: add up both, then subtract the (limit + 1)-th
largest count from all of them. So each count is too low by at most what was subtracted in all.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from .distinct import Sketch, hashed

#: Characters of a value that are kept. Longer ones are told apart by a hash.
SHOWN = 100
#: Cannot be part of a value: a file with zero bytes is no text.
_MARK = "…\0"


def key_of(value: str) -> str:
    """Return what stands for *value* here: itself unless it is very long."""
    if len(value) <= SHOWN:
        return value
    return value[:SHOWN] + _MARK + blake2b(value.encode(), digest_size=16).hexdigest()


def shown(key: str) -> str:
    """Return *key* for a person: a long value's beginning and an ellipsis."""
    return key.partition("\0")[0]


class Values:
    """The distinct values of a column with their counts.

    :ivar counts: by value (by :func:`key_of`), at most *limit*.
    :ivar missed: by how much, at most, a count is too low; 0 while everything is exact.
    :ivar sketch: for the distinct values, once not all of them fit into ``counts``.
    """

    def __init__(
        self, limit: int, counts: dict[str, int], missed: int = 0, sketch: Sketch | None = None
    ) -> None:
        self.limit = limit
        self.counts = counts
        self.missed = missed
        self.sketch = sketch
        self.shrink(limit)

    def copy(self) -> Values:
        """Return another one with the same content."""
        sketch = Sketch(self.sketch.k, self.sketch.hashes) if self.sketch else None
        return Values(self.limit, dict(self.counts), self.missed, sketch)

    def merge(self, other: Values) -> None:
        """Add the values of *other*, which stays as it is."""
        if self.sketch is None and other.sketch is not None:
            self.sketch = self._sketched()
        if self.sketch is not None:
            self.sketch.merge(other.sketch or other._sketched())
        counts = self.counts
        for key, count in other.counts.items():
            counts[key] = counts.get(key, 0) + count
        self.missed += other.missed
        self.shrink(self.limit)

    def shrink(self, limit: int) -> None:
        """Keep the counts of at most *limit* values."""
        if len(self.counts) <= limit:
            return
        if self.sketch is None:
            self.sketch = self._sketched()
        cut = sorted(self.counts.values(), reverse=True)[limit]
        self.counts = {key: count - cut for key, count in self.counts.items() if count > cut}
        self.missed += cut

    def limit_sketch(self, k: int) -> None:
        """Keep at most *k* hashes for the distinct values."""
        if self.sketch is not None:
            self.sketch.limit(k)

    def _sketched(self) -> Sketch:
        return Sketch(self.limit, map(hashed, self.counts))

    @property
    def distinct_is_exact(self) -> bool:
        return self.sketch is None or self.sketch.is_exact

    def distinct(self) -> int:
        """Return the number of distinct values, exactly or by estimate."""
        return len(self.counts) if self.sketch is None else self.sketch.distinct()

    def frequent(self) -> list[tuple[str, int]]:
        """Return the values that are certainly more frequent than any that is left out.

        A value that isn't in ``counts`` may have been there ``missed`` times.
        """
        return [item for item in self.counts.items() if item[1] > self.missed]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "limit": self.limit,
            "counts": self.counts,
            "missed": self.missed,
            "sketch": self.sketch and self.sketch.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Values:
        """Build it again from :meth:`to_json`."""
        sketch = data["sketch"] and Sketch.from_json(data["sketch"])
        return cls(data["limit"], data["counts"], data["missed"], sketch)
