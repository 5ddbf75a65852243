"""How figures and histograms are prepared for the page."""

from __future__ import annotations

from typing import Any

import pytest

from apps.reports.presentation import HEIGHT, card
from apps.reports.schemas import Column
from apps.reports.templatetags import report_format as formats


def column(**fields: Any) -> Column:
    """Return a column of ten cells, with *fields* as given."""
    plain = {
        "name": "c",
        "type": "integer",
        "count": 10,
        "nulls": 0,
        "distinct": 3,
        "distinct_is_estimate": False,
        "min": 1,
        "max": 4,
        "mean": 2.0,
        "stddev": 1.0,
        "histogram": None,
        "top": [],
        "top_is_estimate": False,
    }
    return Column.model_validate(plain | fields)


def texts(shown: dict[str, Any]) -> dict[str, str]:
    facts = [*shown["cells"], *shown["figures"]]
    return {label: " ".join(filter(None, values)) for label, *values in facts}


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (2013, "2013"),
        (-12345, "-12,345"),
        (10**30, "1" + ",000" * 10),
        (True, "true"),
        (0.0, "0"),
        (2013.0, "2013"),
        (1039.9126036297123, "1039.91"),
        (1234567.891, "1,234,568"),
        (0.000123456789, "0.000123457"),
        (1.5e-9, "1.5e-09"),
        (-1.7976931348623157e308, "-1.7977e+308"),
        ("=1+1", "=1+1"),
        (None, "\N{EN DASH}"),
    ],
)
def test_values_are_written_for_people(item: Any, text: str) -> None:
    assert formats.value(item) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (0, 0, "0 %"),
        (1, 3, "33.3 %"),
        (1, 10**6, "< 0.1 %"),
        (10**6 - 1, 10**6, "> 99.9 %"),
    ],
)
def test_what_is_neither_none_nor_all_never_looks_like_it(part: int, whole: int, text: str) -> None:
    assert formats.percent(part, whole) == text


def test_an_estimate_says_that_it_is_one() -> None:
    exact = card(column(distinct=5000), "a", 10)
    estimate = card(column(distinct=5000, distinct_is_estimate=True), "a", 10)
    assert texts(exact)["Distinct"] == "5,000"
    assert texts(estimate)["Distinct"] == "≈ 5,000 (estimate)"


def test_a_column_of_text_has_no_mean() -> None:
    shown = card(column(type="text", min="a", max="b", mean=None, stddev=None), "a", 10)
    assert list(texts(shown)) == ["Count", "Nulls", "Distinct", "Min", "Max"]


def test_bars_are_as_high_as_their_share_and_never_invisible() -> None:
    bins = [
        {"from": 0, "to": 2, "count": 1000},
        {"from": 2, "to": 4, "count": 0},
        {"from": 4, "to": 6, "count": 500},
        {"from": 6, "to": 8, "count": 1},
    ]
    drawing = card(column(histogram={"bins": bins}), "a", 10)["drawing"]
    assert drawing is not None
    assert [bar["height"] for bar in drawing["bars"]] == [HEIGHT, HEIGHT / 2, 1.5]
    assert all(bar["y"] + bar["height"] == HEIGHT for bar in drawing["bars"])
    assert [bar["title"] for bar in drawing["bars"]] == [
        "0 to 1: 1,000",
        "4 to 5: 500",
        "6 to 7: 1",
    ]
    assert (drawing["low"], drawing["high"]) == ("0", "7")


def test_a_column_of_one_value_has_no_drawing() -> None:
    bins = [{"from": 3, "to": 3, "count": 10}]
    assert card(column(histogram={"bins": bins}), "a", 10)["drawing"] is None


def test_five_frequent_values_are_shown_at_once() -> None:
    top = [{"value": number, "count": 1} for number in range(8)]
    shown = card(column(top=top), "a", 10)
    assert (len(shown["top"]), len(shown["more"])) == (5, 3)
    assert shown["top"][0]["length"] == 10.0
