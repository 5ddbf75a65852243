"""Mean and standard deviation from exact sums, so that the order of merging can't matter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, localcontext
from operator import mul
from typing import Any

# Far more digits than a double has, and a range that no quotient here leaves.
_CONTEXT = Context(prec=50, Emax=999_999, Emin=-999_999)


class Sums:
    """The sum of numbers and of their squares, as integers in units of ``10**-scale``.

    Python's integers don't overflow or round; a float would, differently in each order.
    """

    def __init__(self, scale: int, count: int, total: int, squares: int) -> None:
        self.scale = scale
        self.count = count
        self.total = total
        self.squares = squares

    @classmethod
    def of(cls, scale: int, numbers: Sequence[int], counts: Iterable[int]) -> Sums:
        """Sum up *numbers*, in units of ``10**-scale``, each as often as *counts* says."""
        counts = list(counts)
        weighted = list(map(mul, numbers, counts))
        return cls(scale, sum(counts), sum(weighted), sum(map(mul, numbers, weighted)))

    def merge(self, other: Sums) -> Sums:
        """Return the sums of both."""
        scale = max(self.scale, other.scale)
        mine, theirs = 10 ** (scale - self.scale), 10 ** (scale - other.scale)
        return Sums(
            scale,
            self.count + other.count,
            self.total * mine + other.total * theirs,
            self.squares * mine**2 + other.squares * theirs**2,
        )

    def mean(self) -> float:
        """Return the arithmetic mean."""
        with localcontext(_CONTEXT):
            return float((Decimal(self.total) / self.count).scaleb(-self.scale))

    def stddev(self) -> float | None:
        """Return the standard deviation of a sample (n - 1, as in pandas and polars).

        ``None`` for fewer than two numbers, or if no double is large enough.
        """
        if self.count < 2:
            return None
        # Exact up to here: the difference of two large and nearly equal numbers.
        spread = self.count * self.squares - self.total**2
        with localcontext(_CONTEXT):
            variance = Decimal(spread) / (self.count * (self.count - 1))
            deviation = float(variance.sqrt().scaleb(-self.scale))
        return deviation if math.isfinite(deviation) else None

    def to_json(self) -> list[Any]:
        """Return it as plain data."""
        return [self.scale, self.count, self.total, self.squares]
