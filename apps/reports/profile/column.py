"""The profile of a column, or of the part of it that one chunk holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import moment, number
from .histogram import Histogram
from .kind import Kind, join, kind_of
from .nulls import NULLS
from .sums import Sums
from .values import SHOWN, Values, key_of


@dataclass
class Column:
    """A partial profile. Merging the parts gives the profile of the whole.

    The type is known only when all parts are. So a part keeps its values as they are written, for
    the case that some other part makes the column text, beside what its own type adds.

    :ivar values: the values as they are written.
    :ivar canonical: the values as the type sees them (1.0 is 1), where that differs.
    :ivar low: the first value in lexicographic order, cut to SHOWN + 1 characters; likewise *high*.
        Cutting keeps the order, so the cut minimum is the minimum of the cut ones.
    """

    kind: Kind
    count: int
    nulls: int
    values: Values
    canonical: Values | None = None
    low: str = ""
    high: str = ""
    sums: Sums | None = None
    histogram: Histogram | None = None

    @classmethod
    def of(cls, counts: dict[str, int], limit: int) -> Column:
        """Profile cells given as *counts* by their text; what it holds is used up."""
        nulls = sum(counts.pop(null, 0) for null in NULLS)
        kind = kind_of(counts)
        if kind == Kind.EMPTY:
            return cls(kind, 0, nulls, Values(limit, {}))
        low, high = min(counts), max(counts)
        column = cls(
            kind,
            sum(counts.values()),
            nulls,
            Values(limit, {}),
            low=low[: SHOWN + 1],
            high=high[: SHOWN + 1],
        )
        keys = column._interpret(counts)
        if keys is not None:
            column.canonical = Values(limit, keys)
        if max(map(len, counts)) > SHOWN:
            counts = {key_of(value): count for value, count in counts.items()}
        column.values = Values(limit, counts)
        return column

    def _interpret(self, counts: dict[str, int]) -> dict[str, int] | None:
        """Read the values as the kind says; return the counts by canonical value if they differ."""
        texts = list(counts)
        if self.kind == Kind.INTEGER:
            integers = list(map(int, texts))
            self.sums = Sums.of(0, integers, counts.values())
            self.histogram = Histogram.of(integers, 1, counts.values())
            keys = list(map(str, integers))
        elif self.kind == Kind.NUMBER:
            pairs = list(map(number.parse, texts))
            scale = max(0, -min(exponent for _, exponent in pairs))
            scaled = [mantissa * 10 ** (exponent + scale) for mantissa, exponent in pairs]
            self.sums = Sums.of(scale, scaled, counts.values())
            self.histogram = Histogram.of(scaled, 10**scale, counts.values())
            keys = [number.canonical(*pair) for pair in pairs]
        elif self.kind.is_temporal:
            moments = list(map(moment.parse, texts))
            self.histogram = Histogram.of(moments, moment.MICROSECONDS_A_DAY, counts.values())
            suffix = "Z" if self.kind == Kind.INSTANT else ""
            keys = [moment.canonical(value, suffix) for value in moments]
        elif self.kind == Kind.BOOLEAN:
            keys = [text.lower() for text in texts]
        else:
            return None
        if keys == texts:
            return None
        merged: dict[str, int] = {}
        for key, count in zip(keys, counts.values(), strict=True):
            merged[key] = merged.get(key, 0) + count
        return merged

    def merge(self, other: Column) -> None:
        """Add the part *other*, which may be used up by it."""
        self.nulls += other.nulls
        if other.kind == Kind.EMPTY:
            return
        if self.kind == Kind.EMPTY:
            nulls = self.nulls
            self.__dict__.update(other.__dict__)
            self.nulls = nulls
            return
        self.kind = join(self.kind, other.kind)
        self.count += other.count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if self.kind == Kind.TEXT:
            self.canonical = self.sums = self.histogram = None
        else:
            self._merge_interpreted(other)
        self.values.merge(other.values)

    def _merge_interpreted(self, other: Column) -> None:
        if self.canonical is not None or other.canonical is not None:
            if self.canonical is None:
                self.canonical = self.values.copy()
            self.canonical.merge(other.canonical or other.values)
        self.sums = self.sums.merge(other.sums) if self.sums and other.sums else None
        if self.histogram and other.histogram:
            self.histogram = self.histogram.merge(other.histogram)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "kind": self.kind,
            "count": self.count,
            "nulls": self.nulls,
            "values": self.values.to_json(),
            "canonical": self.canonical and self.canonical.to_json(),
            "low": self.low,
            "high": self.high,
            "sums": self.sums and self.sums.to_json(),
            "histogram": self.histogram and self.histogram.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Column:
        """Build it again from :meth:`to_json`."""
        return cls(
            Kind(data["kind"]),
            data["count"],
            data["nulls"],
            Values.from_json(data["values"]),
            data["canonical"] and Values.from_json(data["canonical"]),
            data["low"],
            data["high"],
            data["sums"] and Sums(*data["sums"]),
            data["histogram"] and Histogram.from_json(data["histogram"]),
        )
