"""The report of a file: types, totals, and that neither cutting nor merging order changes it."""

from __future__ import annotations

import csv
import json
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from apps.reports import profile


def report(rows: list[list[str]], limit: int = 10_000) -> dict[str, Any]:
    """Profile *rows* as one chunk."""
    return merged([rows], len(rows), limit)


def merged(parts: list[list[list[str]]], rows: int, limit: int = 10_000) -> dict[str, Any]:
    """Profile each part as a chunk, and merge them as the tasks do: through bytes."""
    total = profile.Merged()
    width = len(parts[0][0])
    for part in parts:
        out = StringIO(newline="")
        csv.writer(out, quoting=csv.QUOTE_ALL).writerows(part)
        columns = profile.profile_chunk(out.getvalue().encode(), ",", width, limit)
        total.add(profile.load(profile.dump(columns)))
    return total.result([f"c{number}" for number in range(width)], rows)


def column(*values: str, limit: int = 10_000) -> dict[str, Any]:
    """Profile one column."""
    found: dict[str, Any] = report([[value] for value in values], limit)["columns"][0]
    return found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "+3", "007", " 4 "], "integer"),
        (["1", "2.5", ".5", "3.", "1e3", "-1E-3"], "number"),
        (["true", "False", "TRUE"], "boolean"),
        (["2013-01-31", "2024-02-29"], "date"),
        (["2013-01-31T10:00", "2013-01-31 10:00:00.123456", "2013-01-31"], "datetime"),
        (["2013-01-31T10:00:00Z", "2013-01-31T12:00:00+02:00"], "datetime"),
        (["2013-01-31T10:00:00.123456000"], "datetime"),
        (["", "NA", "null", "NaN"], "empty"),
        (["a", "1"], "text"),
        (["true", "1"], "text"),
        (["2013-01-31", "1"], "text"),
        (["2013-01-31T10:00:00Z", "2013-01-31T10:00:00"], "text"),
        (["inf", "1.5"], "text"),
        (["-Infinity"], "text"),
        (["1e999"], "text"),
        (["1e-999"], "text"),
        (["1_000"], "text"),
        (["1,5"], "text"),
        (["0x10"], "text"),
        (["\u0661\u0662"], "text"),
        (["9" * 41], "text"),
        (["2013-02-30"], "text"),
        (["2013-01-31T25:00"], "text"),
        (["2013-01-31T10:00:00.123456789"], "text"),
        (["0001-01-01T00:00+05:00"], "text"),
        (["01/02/2013"], "text"),
        ([" "], "text"),
        (["=1+1"], "text"),
    ],
)
def test_the_type_is_the_narrowest_that_all_values_have(values: list[str], kind: str) -> None:
    assert column(*values)["type"] == kind
    parts = [[[value]] for value in values]
    for order in (parts, parts[::-1]):
        assert merged(order, len(values))["columns"][0]["type"] == kind


def test_integers() -> None:
    found = column("3", "1", "", "2", "01")
    assert found == {
        "name": "c0",
        "type": "integer",
        "count": 4,
        "nulls": 1,
        "distinct": 3,
        "distinct_is_estimate": False,
        "min": 1,
        "max": 3,
        "mean": 1.75,
        "stddev": pytest.approx(statistics.stdev([3, 1, 2, 1])),
        "histogram": {
            "bins": [
                {"from": 1, "to": 2, "count": 2},
                {"from": 2, "to": 3, "count": 1},
                {"from": 3, "to": 4, "count": 1},
            ]
        },
        "top": [
            {"value": 1, "count": 2},
            {"value": 2, "count": 1},
            {"value": 3, "count": 1},
        ],
        "top_is_estimate": False,
    }


def test_equal_numbers_are_one_value_however_they_are_written() -> None:
    found = column("1", "1.0", "1e0", "01.00", "10e-1", "100e-2", "2.50", "-0", "0.0")
    assert found["distinct"] == 3
    assert found["top"] == [
        {"value": 1.0, "count": 6},
        {"value": 0.0, "count": 2},
        {"value": 2.5, "count": 1},
    ]


def test_equal_numbers_are_one_value_across_chunks_too() -> None:
    (found,) = merged([[["1"], ["2"]], [["1.0"], ["2.5"]], [["1"]]], 5)["columns"]
    assert (found["type"], found["distinct"]) == ("number", 3)
    assert found["top"][0] == {"value": 1.0, "count": 3}


def test_in_a_column_that_turns_out_to_be_text_values_are_told_apart_as_written() -> None:
    (found,) = merged([[["1"], ["1.0"]], [["n/a?"]], [["01"]]], 4)["columns"]
    assert (found["type"], found["distinct"]) == ("text", 4)
    assert (found["min"], found["max"], found["mean"]) == ("01", "n/a?", None)


def test_a_day_is_the_midnight_of_a_datetime() -> None:
    (found,) = merged([[["2013-01-01"]], [["2013-01-01T00:00:00"], ["2013-01-02 12:00"]]], 3)[
        "columns"
    ]
    assert (found["type"], found["distinct"]) == ("datetime", 2)
    assert found["top"][0] == {"value": "2013-01-01T00:00:00", "count": 2}
    assert (found["min"], found["max"]) == ("2013-01-01T00:00:00", "2013-01-02T12:00:00")


def test_points_in_time_are_compared_in_utc() -> None:
    found = column("2013-01-01T10:00:00Z", "2013-01-01T12:00:00+02:00", "2013-01-01T10:00:00-0100")
    assert found["distinct"] == 2
    assert (found["min"], found["max"]) == ("2013-01-01T10:00:00Z", "2013-01-01T11:00:00Z")


def test_booleans() -> None:
    found = column("true", "False", "TRUE", "")
    assert (found["count"], found["distinct"], found["min"], found["max"]) == (3, 2, False, True)
    assert found["top"] == [{"value": True, "count": 2}, {"value": False, "count": 1}]
    assert found["mean"] is found["histogram"] is None


def test_an_empty_column() -> None:
    found = column("", "NA")
    assert (found["type"], found["count"], found["nulls"], found["distinct"]) == ("empty", 0, 2, 0)
    assert found["min"] is found["max"] is found["mean"] is found["stddev"] is None
    assert found["histogram"] is None
    assert found["top"] == []


def test_one_value_has_no_deviation_and_one_bin() -> None:
    found = column("2.5")
    assert (found["mean"], found["stddev"]) == (2.5, None)
    assert found["histogram"] == {"bins": [{"from": 2.5, "to": 2.5, "count": 1}]}


def test_dates_have_a_histogram_of_whole_days() -> None:
    found = column("2013-01-01", "2013-01-03", "2013-01-03")
    assert found["histogram"]["bins"] == [
        {"from": "2013-01-01", "to": "2013-01-02", "count": 1},
        {"from": "2013-01-02", "to": "2013-01-03", "count": 0},
        {"from": "2013-01-03", "to": "2013-01-04", "count": 2},
    ]


def test_the_end_of_time_can_be_shown() -> None:
    for values in (["0001-01-01", "9999-12-31"], ["0001-01-01T00:00Z", "9999-12-31T23:59:59Z"]):
        bins = column(*values)["histogram"]["bins"]
        assert bins[0]["from"].startswith("0001-01-01")
        assert bins[-1]["to"].startswith("9999-12-31")


def test_the_mean_is_exact_where_floats_are_not() -> None:
    # In double precision the sum of these, in this order, is 0.
    assert column("1e16", "1", "-1e16")["mean"] == pytest.approx(1 / 3, rel=1e-15)
    assert column(*["0.1"] * 10)["mean"] == 0.1
    # The squares of these agree in all of a double's 16 digits.
    assert column("1000000001", "1000000002", "1000000003")["stddev"] == 1.0


def test_the_largest_and_smallest_numbers_stay_finite() -> None:
    found = column("1.7e308", "-1.7e308", "5e-324")
    assert (found["min"], found["max"]) == (-1.7e308, 1.7e308)
    assert found["mean"] == pytest.approx(5e-324 / 3)
    assert found["stddev"] == pytest.approx(1.7e308)
    json.dumps(found, allow_nan=False)
    # Here no double is large enough for the deviation.
    assert column("1.7e308", "-1.7e308")["stddev"] is None


def test_integers_keep_all_of_their_digits() -> None:
    found = column("9007199254740993", "9007199254740992")
    assert (found["distinct"], found["max"]) == (2, 9007199254740993)


def test_long_texts_are_cut_but_told_apart() -> None:
    long = "x" * 500
    found = column(long + "a", long + "b", long + "a", "y")
    assert found["distinct"] == 3
    assert found["top"][0] == {"value": "x" * 100 + "…", "count": 2}
    assert (found["min"], found["max"]) == ("x" * 100 + "…", "y")


def test_texts_are_ordered_by_code_point() -> None:
    found = column("é", "z", "Z", "日", "a")
    assert (found["min"], found["max"]) == ("Z", "日")


CELLS: dict[str, Callable[[random.Random], str]] = {
    "integer": lambda chance: str(chance.randrange(-50, 50)),
    "spelled integer": lambda chance: chance.choice(["1", "01", " 1", "2", "+2"]),
    "number": lambda chance: f"{chance.uniform(-1e3, 1e3):.{chance.randrange(6)}f}",
    "wild number": lambda chance: repr(chance.uniform(-1, 1) * 10.0 ** chance.randrange(-300, 300)),
    "mixed number": lambda chance: chance.choice(["1", "1.0", "1e0", "2.5", "-7"]),
    "date": lambda chance: f"20{chance.randrange(10, 30)}-0{chance.randrange(1, 10)}-15",
    "datetime": lambda chance: chance.choice(
        ["2013-01-01", "2013-01-01T00:00", "2013-02-01 10:00"]
    ),
    "instant": lambda chance: (
        f"2013-01-01T{chance.randrange(10, 20)}:00:00+0{chance.randrange(9)}00"
    ),
    "boolean": lambda chance: chance.choice(["true", "FALSE", "False"]),
    "text": lambda chance: "".join(chance.choices("abé,\n\"'", k=chance.randrange(4))),
    "almost integer": lambda chance: "x" if chance.random() < 0.002 else str(chance.randrange(9)),
    "sparse": lambda chance: "5" if chance.random() < 0.005 else chance.choice(["", "NA"]),
}


@pytest.mark.parametrize("seed", range(12))
def test_neither_the_cuts_nor_the_order_of_merging_change_a_report(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randrange(1, 1500)
    rows = [
        ["NA" if chance.random() < 0.1 else cell(chance) for cell in CELLS.values()]
        for _ in range(count)
    ]
    whole = report(rows)
    for _ in range(4):
        places = sorted({chance.randrange(1, count + 1) for _ in range(chance.randrange(30))})
        bounds = zip([0, *places], [*places, count], strict=True)
        parts = [rows[start:end] for start, end in bounds if start < end]
        chance.shuffle(parts)
        assert merged(parts, count) == whole


@pytest.mark.parametrize("seed", range(5))
def test_the_totals_are_those_of_the_plain_computation(seed: int) -> None:
    chance = random.Random(seed)
    numbers = [round(chance.gauss(100, 30), 2) for _ in range(chance.randrange(2, 2000))]
    found = column(*map(str, numbers))
    assert found["mean"] == pytest.approx(statistics.fmean(numbers), rel=1e-12)
    assert found["stddev"] == pytest.approx(statistics.stdev(numbers), rel=1e-12)
    assert (found["min"], found["max"]) == (min(numbers), max(numbers))
    assert found["distinct"] == len(set(numbers))
    for bin_ in found["histogram"]["bins"]:
        assert bin_["count"] == sum(bin_["from"] <= number < bin_["to"] for number in numbers)


def test_beyond_the_limit_distinct_values_are_estimated_and_labelled() -> None:
    rows = [[f"value {number}"] for number in range(50_000)]
    parts = [rows[start : start + 5_000] for start in range(0, 50_000, 5_000)]
    (found,) = merged(parts * 2, 100_000, limit=1_000)["columns"]
    assert found["distinct_is_estimate"] is True
    # The standard error is 1 / sqrt(998), about 3 %; the hashes are the same in every run.
    assert found["distinct"] == pytest.approx(50_000, rel=0.1)


def test_up_to_the_limit_distinct_values_are_exact() -> None:
    for count, is_estimate in ((100, False), (101, True)):
        found = column(*(f"v{number}" for number in range(count)), limit=100)
        assert found["distinct_is_estimate"] is is_estimate
    assert column(*(f"v{n}" for n in range(100)), limit=100)["distinct"] == 100


def test_the_estimate_does_not_depend_on_the_order_of_merging() -> None:
    chance = random.Random(1)
    parts = [[[str(chance.randrange(10**9))] for _ in range(300)] for _ in range(20)]
    first = merged(parts, 6_000, limit=100)["columns"][0]
    chance.shuffle(parts)
    again = merged(parts, 6_000, limit=100)["columns"][0]
    assert first["distinct_is_estimate"] is True
    assert first["distinct"] == again["distinct"]


def test_frequent_values_are_found_among_many_with_a_lower_bound() -> None:
    chance = random.Random(2)
    cells = [f"rare {number}" for number in range(20_000)]
    cells += ["often"] * 5_000 + ["seldom"] * 2_000
    chance.shuffle(cells)
    rows = [[cell] for cell in cells]
    parts = [rows[start : start + 2_000] for start in range(0, len(rows), 2_000)]
    (found,) = merged(parts, len(rows), limit=200)["columns"]
    assert found["top_is_estimate"] is True
    assert [item["value"] for item in found["top"][:2]] == ["often", "seldom"]
    true = Counter(cells)
    for item in found["top"]:
        assert 0 < item["count"] <= true[item["value"]]


def test_a_column_of_unique_values_has_no_frequent_ones() -> None:
    rows = [[f"id-{number}"] for number in range(5_000)]
    (found,) = merged([rows[:2_500], rows[2_500:]], 5_000, limit=100)["columns"]
    assert found["top"] == []
    assert found["top_is_estimate"] is True


def test_with_very_many_values_the_fullest_columns_are_summarised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.reports.profile.merged.MAX_VALUES", 1_000)
    rows = [[f"id-{number}", str(number % 7)] for number in range(3_000)]
    many, few = merged([rows[:1_500], rows[1_500:]], 3_000)["columns"]
    assert many["top_is_estimate"] is True
    assert (many["distinct"], many["distinct_is_estimate"]) == (3_000, False)
    assert few["top_is_estimate"] is False


def test_a_missing_part_is_noticed() -> None:
    with pytest.raises(ValueError, match="2 cells in 3 rows"):
        merged([[["1"], ["2"]]], 3)


def test_a_ragged_chunk_is_noticed() -> None:
    with pytest.raises(ValueError, match="argument"):
        profile.profile_chunk(b"1,2\n3\n", ",", 2, 100)


def test_a_histogram_covers_the_range_with_at_most_24_bins() -> None:
    chance = random.Random(3)
    for _ in range(200):
        scale = 10.0 ** chance.randrange(-20, 20)
        numbers = [chance.uniform(-1, 1) * scale for _ in range(chance.randrange(2, 50))]
        bins = column(*map(repr, numbers))["histogram"]["bins"]
        assert len(bins) <= 24
        assert bins[0]["from"] <= min(numbers)
        assert max(numbers) < bins[-1]["to"]
        widths = {math.frexp(item["to"] - item["from"])[0] for item in bins}
        assert widths == {0.5}
