"""Numbers and other values as a person reads them."""

from __future__ import annotations

import math

from .schemas import Value

DIGITS = 6  # significant digits of a number that isn't whole
#: Cells from here on have their thousands set apart; 2013 is more often a year than a quantity.
GROUPED_FROM = 10_000


def count(number: int) -> str:
    """Return a count with its thousands set apart."""
    return f"{number:,}"


def percent(part: int, whole: int) -> str:
    """Return *part* of *whole* in percent; what is neither none nor all never looks like it."""
    if not whole or part in {0, whole}:
        return "100 %" if part else "0 %"
    share = 100 * part / whole
    if share < 0.1:
        return "< 0.1 %"
    if share > 99.9:
        return "> 99.9 %"
    return f"{share:.1f} %"


def value(item: Value | None) -> str:
    """Return a cell's value, or a figure of a column such as its minimum."""
    if item is None:
        return "\N{EN DASH}"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int):
        return str(item) if abs(item) < GROUPED_FROM else f"{item:,}"
    if isinstance(item, float):
        return _number(item)
    return item


def _number(number: float) -> str:
    if number == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(number)))
    if not -4 <= magnitude < 15:
        return f"{number:.{DIGITS - 1}g}"
    grouping = "," if abs(number) >= GROUPED_FROM else ""
    text = f"{number:{grouping}.{max(0, DIGITS - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
