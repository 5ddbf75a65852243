"""A finished report, prepared for its page: texts, and the places of bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import formats
from .models import Report
from .schemas import Bin, Column, Result, TopValue

#: A histogram's drawing is as high as this, and each bar as wide as that, in units of its own;
#: the page stretches it.
HEIGHT, STEP, GAP = 100.0, 10.0, 0.8
#: Frequent values that are shown at once; the others are behind a click.
SHOWN = 5


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: where it is, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Drawing:
    """A histogram as shapes."""

    width: float
    height: float
    bars: list[Bar]
    low: str
    high: str
    summary: str


@dataclass(frozen=True)
class Top:
    """One of the most frequent values, and how long its bar is (0 to 100)."""

    value: str
    count: str
    share: str
    length: float


@dataclass(frozen=True)
class Fact:
    """A figure with its label, and what follows it in small."""

    label: str
    value: str
    more: str = ""


@dataclass(frozen=True)
class Card:
    """What the page shows of a column."""

    name: str
    anchor: str
    type: str
    cells: list[Fact]
    figures: list[Fact]
    drawing: Drawing | None
    top: list[Top]
    more: list[Top]
    top_is_estimate: bool


def present(report: Report) -> dict[str, Any]:
    """Return what the template of a finished report needs besides the report."""
    result = Result.model_validate(report.result)
    cells = result.rows * len(result.columns)
    nulls = sum(column.nulls for column in result.columns)
    seconds = (
        (report.finished_at - report.created_at).total_seconds() if report.finished_at else None
    )
    return {
        "facts": [
            ("Rows", formats.count(result.rows)),
            ("Columns", formats.count(len(result.columns))),
            ("Cells without a value", formats.percent(nulls, cells)),
            *([("From upload to report", f"{seconds:.1f} s")] if seconds is not None else []),
        ],
        "cards": [
            card(column, f"column-{number}", result.rows)
            for number, column in enumerate(result.columns, 1)
        ],
    }


def card(column: Column, anchor: str, rows: int) -> Card:
    """Prepare a column of a file with so many *rows*."""
    distinct = formats.count(column.distinct)
    cells = [
        Fact("Count", formats.count(column.count)),
        Fact("Nulls", formats.count(column.nulls), formats.percent(column.nulls, rows)),
        Fact("Distinct", f"≈ {distinct}", "(estimate)")
        if column.distinct_is_estimate
        else Fact("Distinct", distinct),
    ]
    figures = {
        "Min": column.min,
        "Max": column.max,
        "Mean": column.mean,
        "Std. deviation": column.stddev,
    }
    top = [bar(item, column) for item in column.top]
    return Card(
        name=column.name,
        anchor=anchor,
        type=column.type,
        cells=cells,
        figures=[
            Fact(label, formats.value(item)) for label, item in figures.items() if item is not None
        ],
        drawing=draw(column),
        top=top[:SHOWN],
        more=top[SHOWN:],
        top_is_estimate=column.top_is_estimate,
    )


def draw(column: Column) -> Drawing | None:
    """Prepare a histogram. A bin that holds anything is visible, however small its share.

    A column of one value, or of none, has nothing to draw.
    """
    bins = column.histogram.bins if column.histogram else []
    if len(bins) < 2:
        return None
    most = max(bin.count for bin in bins)
    highest = max(bins, key=lambda bin: bin.count)
    low, high = _edges(bins[0])[0], _edges(bins[-1])[1]
    return Drawing(
        width=len(bins) * STEP,
        height=HEIGHT,
        bars=[
            Bar(
                x=number * STEP + GAP / 2,
                y=HEIGHT - _height(bin.count, most),
                width=STEP - GAP,
                height=_height(bin.count, most),
                title=f"{_span(bin)}: {formats.count(bin.count)}",
            )
            for number, bin in enumerate(bins)
            if bin.count
        ],
        low=low,
        high=high,
        summary=(
            f"Histogram of {column.name} in {len(bins)} bins from {low} to {high}; most values, "
            f"{formats.count(highest.count)}, are in {_span(highest)}"
        ),
    )


def _height(count: int, most: int) -> float:
    return round(max(1.5, HEIGHT * count / most), 2)


def _edges(bin: Bin) -> tuple[str, str]:
    # Nothing lies between two integers: 1 up to and without 13 is 1 to 12.
    whole = isinstance(bin.start, int) and isinstance(bin.end, int) and bin.end > bin.start
    end = bin.end - 1 if whole else bin.end  # type: ignore[operator]
    return formats.value(bin.start), formats.value(end)


def _span(bin: Bin) -> str:
    start, end = _edges(bin)
    return start if start == end else f"{start} to {end}"


def bar(item: TopValue, column: Column) -> Top:
    """Prepare a frequent value; its bar is as long as its share of the column's values."""
    return Top(
        value=formats.value(item.value),
        count=formats.count(item.count),
        share=formats.percent(item.count, column.count),
        length=round(100 * item.count / column.count, 2),
    )
