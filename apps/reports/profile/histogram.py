"""A histogram that merges exactly: its bins are as wide as a power of two and begin at zero.

A bin of one width is the union of two bins of half the width, so a finer histogram becomes a
coarser one without looking at the values again. The width is the smallest that covers the range
with at most 24 bins; it depends on the smallest and the largest value alone. So the result is
that of one pass over all values, in whatever order the parts are merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

MAX_BINS = 24


class Histogram:
    """How many values lie in ``[i * 2**exponent, (i + 1) * 2**exponent)``, by *i*.

    :ivar exponent: ``None`` while all values are equal, for then every width would do; ``bins``
        then holds their count at 0.
    """

    def __init__(
        self, low: Fraction, high: Fraction, exponent: int | None, bins: dict[int, int]
    ) -> None:
        self.low = low
        self.high = high
        self.exponent = exponent
        self.bins = bins

    @classmethod
    def of(cls, numbers: Sequence[int], unit: int, counts: Iterable[int]) -> Histogram:
        """Count *numbers*, each divided by *unit* and as often as *counts* says."""
        low, high = Fraction(min(numbers), unit), Fraction(max(numbers), unit)
        if low == high:
            return cls(low, high, None, {0: sum(counts)})
        exponent = _fit(low, high)
        up, down = max(-exponent, 0), max(exponent, 0)
        bins: dict[int, int] = {}
        if unit == 1 and not up:
            for number, count in zip(numbers, counts, strict=True):
                index = number >> down
                bins[index] = bins.get(index, 0) + count
        else:
            divisor = unit << down
            for number, count in zip(numbers, counts, strict=True):
                index = (number << up) // divisor
                bins[index] = bins.get(index, 0) + count
        return cls(low, high, exponent, bins)

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of the values of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        if low == high:
            return Histogram(low, high, None, {0: self.bins[0] + other.bins[0]})
        exponent = _fit(low, high)
        bins = self.coarsened(exponent)
        for index, count in other.coarsened(exponent).items():
            bins[index] = bins.get(index, 0) + count
        return Histogram(low, high, exponent, bins)

    def coarsened(self, exponent: int) -> dict[int, int]:
        """Return the bins of a width of ``2**exponent``, which is no smaller than the present."""
        if self.exponent is None:
            return {_index(self.low, exponent): self.bins[0]}
        bins: dict[int, int] = {}
        for index, count in self.bins.items():
            index >>= exponent - self.exponent
            bins[index] = bins.get(index, 0) + count
        return bins

    def to_json(self) -> list[Any]:
        """Return it as plain data."""
        return [
            self.low.as_integer_ratio(),
            self.high.as_integer_ratio(),
            self.exponent,
            list(self.bins.items()),
        ]

    @classmethod
    def from_json(cls, data: list[Any]) -> Histogram:
        """Build it again from :meth:`to_json`."""
        low, high, exponent, bins = data
        return cls(Fraction(*low), Fraction(*high), exponent, dict(map(tuple, bins)))


def _index(value: Fraction, exponent: int) -> int:
    return (value.numerator << max(-exponent, 0)) // (value.denominator << max(exponent, 0))


def _fit(low: Fraction, high: Fraction) -> int:
    """Return the smallest exponent with which at most MAX_BINS bins cover *low* to *high*."""
    span = high - low
    # 2**exponent is at most span / 32, so there are more bins than that.
    exponent = span.numerator.bit_length() - span.denominator.bit_length() - 6
    while _index(high, exponent) - _index(low, exponent) >= MAX_BINS:
        exponent += 1
    return exponent
