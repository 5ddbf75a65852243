"""Values, shares and histograms as a person reads them, for templates."""

from __future__ import annotations

import math
from typing import Any

from django import template

register = template.Library()

DIGITS = 6  # significant digits of a number that isn't whole
#: Cells from here on have their thousands set apart; 2013 is more often a year than a quantity.
GROUPED_FROM = 10_000


@register.filter
def percent(part: int, whole: int) -> str:
    """Return *part* of *whole* in percent; what is neither none nor all never looks like it."""
    if not whole or part in {0, whole}:
        return "100 %" if part else "0 %"
    share = 100 * part / whole
    if share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if share > 99.9 else f"{share:.1f} %"


@register.filter
def value(item: bool | int | float | str) -> str:
    """Return a cell's value, or a figure of a column such as its minimum."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int):
        return str(item) if abs(item) < GROUPED_FROM else f"{item:,}"
    if isinstance(item, str):
        return item
    if item == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(item)))
    if not -4 <= magnitude < 15:
        return f"{item:.{DIGITS - 1}g}"
    grouping = "," if abs(item) >= GROUPED_FROM else ""
    text = f"{item:{grouping}.{max(0, DIGITS - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@register.filter
def bars(histogram: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the bins with their heights in percent; one that holds anything is visible."""
    highest = max(bin["count"] for bin in histogram)
    return [
        {
            "height": max(1.5, 100 * bin["count"] / highest) if bin["count"] else 0,
            "first": value(bin["start"]),
            # Nothing lies between two integers: 1 up to and without 13 is 1 to 12.
            "last": value(bin["end"] - 1 if isinstance(bin["end"], int) else bin["end"]),
            "count": bin["count"],
        }
        for bin in histogram
    ]
