"""The report of a file: types, totals, and that neither cutting nor repeating changes them."""

from __future__ import annotations

import itertools
import json
import random
import signal
import statistics
from collections import Counter
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from apps.reports import profile


def merged(*parts: list[list[str]], rows: int = 0, limit: int = 10_000) -> list[dict[str, Any]]:
    """Profile each part as a chunk, and merge them."""
    partials = [profile.profile_chunk(part, len(part[0]), comma=False) for part in parts]
    rows = rows or sum(map(len, parts))
    return profile.merge(partials.__getitem__, len(partials), rows, limit)


def table(*columns: list[str]) -> list[list[str]]:
    """Return rows of columns, of which the shorter ones end in empty cells."""
    length = max(map(len, columns))
    return [[(*c, *[""] * length)[n] for c in columns] for n in range(length)]


def column(*values: str) -> dict[str, Any]:
    """Profile one column."""
    (found,) = merged([[value] for value in values])
    return found


KINDS: list[tuple[list[str], str]] = [
    (["1", "-2", "+3", " 4 "], "integer"),
    (["1", "2.5", ".5", "3.", "1e3", "-1E-3"], "number"),
    (["true", "False", "TRUE"], "boolean"),
    (["2013-01-31", "2024-02-29"], "date"),
    (["2013-01-31T10:00", "2013-01-31 10:00:00.123456", "2013-01-31"], "datetime"),
    (["2013-01-31T10:00:00Z", "2013-01-31T12:00:00+02:00"], "datetime"),
    (["", "NA", "null", "NaN"], "empty"),
    (["a", "1"], "text"),
    (["true", "1"], "text"),
    (["2013-01-31", "1"], "text"),
    (["2013-01-31T10:00:00Z", "2013-01-31T10:00:00"], "text"),
    (["inf", "1.5"], "text"),
    (["1e999"], "text"),
    (["1_000"], "text"),
    (["1,5"], "text"),
    (["0x10"], "text"),
    (["\u0661\u0662"], "text"),
    (["2013-02-30"], "text"),
    (["2013-1-1"], "text"),
    (["2013-01-31T24:00"], "text"),
    (["0001-01-01T00:00+05:00"], "text"),
    (["01/02/2013"], "text"),
    ([" "], "text"),
    (["=1+1"], "text"),
]


def test_the_type_is_the_narrowest_that_all_values_have() -> None:
    expected = [kind for _, kind in KINDS]
    rows = table(*(values for values, _ in KINDS))
    assert [found["type"] for found in merged(rows)] == expected
    assert [found["type"] for found in merged(*([row] for row in rows))] == expected


def test_integers() -> None:
    assert column("3", "1", "", "2", "+1") == {
        "type": "integer",
        "count": 4,
        "nulls": 1,
        "distinct": 3,
        "distinct_is_estimate": False,
        "min": 1,
        "max": 3,
        "mean": 1.75,
        "stddev": pytest.approx(statistics.stdev([3, 1, 2, 1])),
        "histogram": [
            {"start": 1, "end": 2, "count": 2},
            {"start": 2, "end": 3, "count": 1},
            {"start": 3, "end": 4, "count": 1},
        ],
        "top": [
            {"value": 1, "count": 2},
            {"value": 2, "count": 1},
            {"value": 3, "count": 1},
        ],
        "top_is_estimate": False,
        "remarks": [],
    }


def test_equal_values_are_one_however_they_are_written_and_in_whichever_chunk() -> None:
    numbers, days, points, mixed = merged(
        table(["1", "1.0", "-0"], ["2013-01-01"], ["2013-01-01T10:00Z"], ["1"]),
        table(
            ["1e0", "0.0", "2.5"],
            ["2013-01-01T00:00:00", "2013-01-02 12:00"],
            ["2013-01-01T12:00:00+02:00", "2013-01-01 10:00:00-0100"],
            ["1.0", "x"],
        ),
    )
    assert (numbers["distinct"], numbers["top"][0]) == (3, {"value": 1.0, "count": 3})
    assert (days["distinct"], days["top"][0]) == (2, {"value": "2013-01-01T00:00:00", "count": 2})
    assert (points["distinct"], points["max"]) == (2, "2013-01-01T11:00:00Z")
    assert (mixed["type"], mixed["distinct"], mixed["mean"]) == ("text", 3, None)


def test_booleans_and_nothing() -> None:
    found, empty = merged(table(["true", "False", "TRUE", ""], ["", "NA"]))
    assert (found["count"], found["distinct"], found["min"], found["max"]) == (3, 2, False, True)
    assert found["top"] == [{"value": True, "count": 2}, {"value": False, "count": 1}]
    assert found["mean"] is found["histogram"] is None
    assert (empty["count"], empty["nulls"], empty["distinct"], empty["top"]) == (0, 4, 0, [])
    assert empty["min"] is empty["max"] is empty["mean"] is empty["stddev"] is None


def test_one_value_has_no_deviation_and_one_bin() -> None:
    found = column("-2.5")
    assert (found["mean"], found["stddev"]) == (-2.5, None)
    assert found["histogram"] == [{"start": -2.5, "end": -2.5, "count": 1}]


def test_dates_have_a_histogram_of_whole_days() -> None:
    assert column("2013-01-01", "2013-01-03", "2013-01-03")["histogram"] == [
        {"start": "2013-01-01", "end": "2013-01-02", "count": 1},
        {"start": "2013-01-02", "end": "2013-01-03", "count": 0},
        {"start": "2013-01-03", "end": "2013-01-04", "count": 2},
    ]


def test_what_is_extreme_can_be_shown() -> None:
    days, points, large, small, whole, near = merged(
        table(
            ["0001-01-01", "9999-12-31"],
            ["0001-01-01T00:00Z", "9999-12-31T23:59:59Z"],
            ["1.5e150", "-1e149"],
            ["1e150", "5e-324", "-1e150"],
            ["900719925474099299", "-900719925474099298"],
            ["1000000001", "1000000002", "1000000003"],
        )
    )
    for found in (days, points):
        bins = found["histogram"]
        assert (bins[0]["start"][:10], bins[-1]["end"][:10]) == ("0001-01-01", "9999-12-31")
    assert large["type"] == "text"  # its square, and so the deviation, would be infinite
    assert (small["min"], small["max"], small["mean"]) == (-1e150, 1e150, pytest.approx(0))
    assert (whole["min"], whole["max"]) == (-900719925474099298, 900719925474099299)
    assert whole["mean"] == 0.5
    assert near["stddev"] == 1.0  # the squares agree in all of a double's 16 digits
    json.dumps([days, points, large, small, whole], allow_nan=False)


def test_long_texts_are_cut_but_told_apart_and_ordered_by_code_point() -> None:
    long = "x" * 500
    cut, order = merged(
        table([f"{long}a", f"{long}b", f"{long}a", "y"], ["é", "z", "Z", "日", 'a"\rb,'])
    )
    assert (cut["distinct"], cut["top"][0]) == (3, {"value": "x" * 100 + "…", "count": 2})
    assert (cut["min"], cut["max"]) == ("x" * 100 + "…", "y")
    assert (order["min"], order["max"]) == ("Z", "日")


def test_neither_the_cuts_nor_their_order_change_a_total() -> None:
    chance = random.Random(1)
    rows = [
        [
            str(chance.randrange(-50, 50)),
            f"{chance.gauss(100, 30):.2f}",
            f"2013-01-01T{chance.randrange(10, 20)}:00:00+0{chance.randrange(9)}00",
            "".join(chance.choices("abé,\r\n\"'", k=chance.randrange(4))),
            "x" if chance.random() < 0.002 else str(chance.randrange(9)),
            "5" if chance.random() < 0.005 else chance.choice(["", "NA"]),
        ]
        for _ in range(1500)
    ]
    whole = merged(rows)
    places = [0, *sorted(chance.sample(range(1, 1500), 12)), 1500]
    parts = [rows[start:end] for start, end in itertools.pairwise(places)]
    chance.shuffle(parts)
    for one, other in zip(merged(*parts), whole, strict=True):
        assert one == {
            **other,
            "mean": other["mean"] and pytest.approx(other["mean"], rel=1e-14),
            "stddev": other["stddev"] and pytest.approx(other["stddev"], rel=1e-12),
        }
    numbers = [float(row[1]) for row in rows]
    assert whole[1]["mean"] == pytest.approx(statistics.fmean(numbers), rel=1e-14)
    assert whole[1]["stddev"] == pytest.approx(statistics.stdev(numbers), rel=1e-12)
    assert whole[1]["distinct"] == len(set(numbers))
    bins = whole[1]["histogram"]
    assert len(bins) <= 24
    for bin_ in bins:
        assert bin_["count"] == sum(bin_["start"] <= number < bin_["end"] for number in numbers)


def test_many_different_values_are_estimated_and_frequent_ones_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profile, "MAX_VALUES", 1500)
    chance = random.Random(2)
    cells = [f"rare {number}" for number in range(20_000)]
    cells += ["often"] * 5_000 + ["seldom"] * 2_000
    chance.shuffle(cells)
    rows = [[cell, str(n % 7), str(n % 900), str(n % 1000)] for n, cell in enumerate(cells)]
    many, few, some, more = merged(*(rows[n : n + 2_000] for n in range(0, len(rows), 2_000)))
    assert many["distinct_is_estimate"] is many["top_is_estimate"] is True
    assert many["distinct"] == pytest.approx(20_002, rel=0.1)
    assert [item["value"] for item in many["top"]] == ["often", "seldom"]
    for item in many["top"]:
        assert 0.9 * (true := Counter(cells)[item["value"]]) < item["count"] <= true
    assert (few["distinct"], few["distinct_is_estimate"]) == (7, False)
    # All columns share the room for exact counts; the fullest give way.
    assert (some["distinct_is_estimate"], more["distinct_is_estimate"]) == (False, True)
    (limited,) = merged([[str(n % 900)] for n in range(9_000)], limit=100)
    assert limited["distinct_is_estimate"] is True


def test_a_missing_part_is_noticed() -> None:
    with pytest.raises(ValueError, match="2 cells in 3 rows"):
        merged([["1"], ["2"]], rows=3)


@pytest.mark.parametrize("error", [ConnectionError("away"), SoftTimeLimitExceeded()])
def test_what_the_read_of_a_part_raises_comes_out_as_it_is(error: Exception) -> None:
    """An outage of the database, for one, is told from a failure by its type."""

    def read(part: int) -> bytes:
        raise error

    with pytest.raises(type(error)):
        profile.merge(read, 1, 1, 100)


def test_a_time_limit_that_ends_a_query_comes_out_as_one() -> None:
    """DuckDB says that it was interrupted, and hides by what."""

    def limit(*args: object) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, limit)
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b"

    def run_out_of_time() -> None:
        with profile._duckdb() as connection:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            connection.execute(endless)

    try:
        with pytest.raises(SoftTimeLimitExceeded):
            run_out_of_time()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
