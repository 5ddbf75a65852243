"""How figures and histograms are prepared for the page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.template.loader import render_to_string

from apps.reports.templatetags import report_format as formats


def card(**fields: Any) -> str:
    """Return the page's part on a column of ten cells, with *fields* as given."""
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
    context = {"column": plain | fields, "anchor": "a", "rows": 10}
    return render_to_string("reports/card.html", context)


def texts(page: str) -> dict[str, str]:
    found = re.findall(r"<dt>(.*?)</dt><dd.*?>(.*?)</dd>", page)
    return {label: re.sub("<.*?>", "", text) for label, text in found}


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
    assert texts(card(distinct=5000))["Distinct"] == "5,000"
    estimate = card(distinct=5000, distinct_is_estimate=True)
    assert texts(estimate)["Distinct"] == "≈ 5,000 (estimate)"


def test_a_column_of_text_has_no_mean() -> None:
    shown = texts(card(type="text", min="a", max="b", mean=None, stddev=None))
    assert list(shown) == ["Count", "Nulls", "Distinct", "Min", "Max"]


def test_bars_are_as_high_as_their_share_and_never_invisible() -> None:
    bins = [
        {"start": 0, "end": 2, "count": 1000},
        {"start": 2, "end": 4, "count": 0},
        {"start": 4, "end": 6, "count": 500},
        {"start": 6, "end": 8, "count": 1},
    ]
    page = card(histogram=bins)
    assert re.findall(r'class="bar" .*? height="(.*?)"', page) == ["100", "50", "1.50"]
    titles = re.findall(r"<g .*?><title>(.*?)</title>", page)
    assert titles == ["0 to 1: 1,000", "4 to 5: 500", "6 to 7: 1"]
    assert "<span>0</span><span>7</span>" in page
    assert "Histogram of c in 4 bins from 0 to 7" in page


def test_a_column_of_one_value_has_no_drawing() -> None:
    assert "<figure" not in card(histogram=[{"start": 3, "end": 3, "count": 10}])


def test_five_frequent_values_are_shown_at_once() -> None:
    page = card(top=[{"value": number, "count": 1} for number in range(8)])
    shown, more = page.split("<details>")
    assert (shown.count("<li>"), more.count("<li>")) == (5, 3)
    assert 'class="bar" width="1000" height="1"' in shown
    assert "3 more" in more
