"""Profiles a CSV file in parts, by DuckDB: each value with its count for each part, then the whole.

A part (partial profile) is a Parquet file: every different value of each column, how often it is
there, and what it can be read as. Reading and counting cells is nearly all of the work and done by
many workers; the whole is three streaming queries over the parts, which are far smaller.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import duckdb
from celery.exceptions import SoftTimeLimitExceeded
from fsspec import AbstractFileSystem

MAX_BINS = 24
TOP = 10  # frequent values listed
SHOWN = 100  # characters of a value that are kept; longer ones are told apart by a hash
#: Different values of all columns together that are counted exactly: some 20 MB.
MAX_VALUES = 100_000
DAY = 86_400_000_000  # microseconds
BEGIN, END = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999

#: pandas' default ``na_values`` (pandas.read_csv), so that the totals equal those of pandas.
NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
#: What columns are, and what a report says of some of them. In _COLUMNS, a column is the first that
#: all of its values can be read as: each has a bit for each.
NUMBERS = ("integer", "number", "decimal comma")
TIMES = ("date", "datetime", "instant")
TYPES = {"decimal comma": "number", "instant": "datetime", "digits": "text"}

# DuckDB casts more than this to numbers and times: 1_000, 0x10, 01, inf, 2013-1-1, 2013/01/01.
_NUMBER = r"[ \t]*[+-]?((0|[1-9][0-9]{0,17})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?[ \t]*"
_COMMA_NUMBER = _NUMBER.replace(r"\.", ",")
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = _DAY + r"[T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_OFFSET = "(Z| ?UTC| ?GMT| ?[+-][0-9]{2}(:?[0-9]{2})?)"
_LOOKS = f"""
    CASE
      WHEN value IS NULL THEN NULL
      WHEN regexp_full_match(value, '[ \\t]*[+-]?(0|[1-9][0-9]{{0,17}})[ \\t]*') THEN 1|2|4|128
      WHEN regexp_full_match(value, '{_NUMBER}') THEN 2
      WHEN $comma AND regexp_full_match(value, '{_COMMA_NUMBER}') THEN 4
      WHEN regexp_full_match(value, '[+-]?[0-9]+') THEN 128
      WHEN lower(value) IN ('true', 'false') THEN 8
      WHEN regexp_full_match(value, '{_DAY}') THEN 16|32
      WHEN regexp_full_match(value, '{_TIME}') THEN 32
      WHEN regexp_full_match(value, '{_TIME}{_OFFSET}') THEN 64
      ELSE 0
    END"""
_PART = f"""
    WITH counted AS (
      SELECT
        name::SMALLINT AS col,
        IF(length(cell) > {SHOWN}, left(cell, {SHOWN}) || chr(0) || md5(cell), cell) AS value,
        count(*) AS n
      FROM read_csv(
        $file, columns = $columns, nullstr = $nulls, header = false, auto_detect = false,
        delim = ',', quote = '"', escape = '"', new_line = '\\n',
        buffer_size = 8000000, max_line_size = 4000000
      ) UNPIVOT INCLUDE NULLS (cell FOR name IN (COLUMNS(*)))
      GROUP BY ALL
    ),
    looked AS (SELECT *, ({_LOOKS})::UTINYINT AS kinds FROM counted),
    read AS (
      SELECT
        *, CASE  -- times: microseconds since 1970 in UTC
          WHEN kinds & (2|4) > 0 THEN TRY_CAST(replace(value, ',', '.') AS DOUBLE)
          WHEN kinds & 32 > 0 THEN epoch_us(TRY_CAST(value AS TIMESTAMP))
          WHEN kinds = 64 THEN
            epoch_us(TRY_CAST(regexp_replace(value, ' ([+-])', '\\1') AS TIMESTAMPTZ))
        END AS num,
        -- A day that doesn't exist is text, and so is what a report can't show, or not square.
        CASE WHEN kinds & (32|64) > 0 THEN num BETWEEN {BEGIN} AND {END}
          WHEN kinds & (2|4) > 0 THEN abs(num) <= 1e150 ELSE true END IS true AS fits
      FROM looked
    )
    SELECT
      col, value, n, n > 1 AND n * 100 > $rows AS often,
      IF(fits, num, NULL) AS num, IF(fits, kinds, 0)::UTINYINT AS kinds
    FROM read ORDER BY col, value"""  # noqa: S608 - of constants
_COLUMNS = f"""
    CREATE TABLE columns AS
    WITH found AS (
      SELECT
        col, sum(n)::BIGINT AS cells,
        coalesce(sum(n) FILTER (value IS NOT NULL), 0)::BIGINT AS count,
        bit_and(kinds) AS kinds, min(num) AS low, max(num) AS high,
        min(value) AS first, max(value) AS last,
        sum(n::HUGEINT * TRY_CAST(value AS BIGINT)) FILTER (kinds & 1 > 0) AS total,
        min(TRY_CAST(value AS BIGINT)) FILTER (kinds & 1 > 0) AS least,
        max(TRY_CAST(value AS BIGINT)) FILTER (kinds & 1 > 0) AS most,
        fsum(n * num) AS sum, approx_count_distinct(value) AS different,
        bool_or(kinds = 64 AND value NOT LIKE '%Z') AS shifted,
        bool_or(kinds IN (32, 64) AND regexp_matches(value, '\\.[0-9]{{6}}[0-9]*[1-9]')) AS cut
      FROM parts GROUP BY col
    ),
    known AS (
      SELECT *, CASE WHEN count = 0 THEN 'empty'
        WHEN kinds & 1 > 0 THEN 'integer' WHEN kinds & 2 > 0 THEN 'number'
        WHEN kinds & 4 > 0 THEN 'decimal comma' WHEN kinds & 8 > 0 THEN 'boolean'
        WHEN kinds & 16 > 0 THEN 'date' WHEN kinds & 32 > 0 THEN 'datetime'
        WHEN kinds & 64 > 0 THEN 'instant' WHEN kinds & 128 > 0 THEN 'digits'
        ELSE 'text' END AS kind
      FROM found
    )
    SELECT
      *, IF(kind IN {NUMBERS}, IF(kind = 'integer', total, sum) / count, NULL) AS mean,
      -- The least power of two of numbers or of days, of which MAX_BINS cover all. Nothing lies
      -- between two integers or two days, and 2^-13 days are whole microseconds.
      IF(kind IN {NUMBERS}, 1, {DAY}) AS unit,
      CASE kind WHEN 'integer' THEN 0 WHEN 'date' THEN 0 WHEN 'number' THEN -1000
        WHEN 'decimal comma' THEN -1000 ELSE -13 END AS finest,
      CASE WHEN kind NOT IN {NUMBERS + TIMES} THEN NULL WHEN low = high THEN 'inf'::DOUBLE
        ELSE unit * 2.0 ** greatest(
          finest, ceil(log2(greatest(high - low, 1e-290) / unit / ({MAX_BINS} - 2)))
        ) END AS width,
      different <= $limit AND sum(different) OVER (ORDER BY different, col) <= $most AS is_exact
    FROM known"""  # noqa: S608 - of constants
_BINS = """
    SELECT col, floor(num / width)::BIGINT, sum(n)::BIGINT, fsum(n * (num - mean) ** 2)
    FROM parts JOIN columns USING (col) WHERE width > 0 AND num IS NOT NULL
    GROUP BY ALL ORDER BY ALL"""
_VALUES = """
    WITH grouped AS (
      SELECT
        col, min(IF(width > 0, num, NULL)) AS num, sum(n)::BIGINT AS count,
        CASE WHEN kind = 'integer' THEN TRY_CAST(value AS BIGINT)::VARCHAR
          WHEN kind = 'boolean' THEN lower(value)
          WHEN width > 0 THEN (num + 0)::VARCHAR  -- -0.0 + 0 is 0.0
          ELSE value END AS key
      FROM parts JOIN columns USING (col)
      WHERE value IS NOT NULL AND (is_exact OR often) GROUP BY col, key
    )
    SELECT col, count(*) OVER (PARTITION BY col), key, count FROM grouped
    QUALIFY row_number() OVER (PARTITION BY col ORDER BY count DESC, num, key) <= $top
    ORDER BY col, count DESC, num, key"""


@contextmanager
def _duckdb(source: _Partials | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in bounded memory, in this thread alone: what reads the parts is the ORM."""
    options: dict[str, Any] = {
        **{"threads": 1, "async_threads": 0, "memory_limit": "100MB", "temp_directory": ""},
        **{"autoinstall_known_extensions": False, "enable_external_file_cache": False},
    }
    with duckdb.connect(config=options) as connection:
        if source is not None:
            connection.register_filesystem(source)
        try:
            yield connection
        except (duckdb.Error, RuntimeError) as error:
            if source is not None and source.error is not None:
                raise source.error from None
            if "Query interrupted" in str(error):  # all that is left of what a signal raised
                raise SoftTimeLimitExceeded from error
            raise


def profile_chunk(records: Iterable[list[str]], columns: int, comma: bool) -> bytes:
    """Return the partial profile of *records*, each with so many *columns*.

    :param comma: numbers may have a decimal comma.
    """
    with TemporaryDirectory() as folder:
        path, part = Path(folder, "chunk.csv"), Path(folder, "part.parquet")
        # Written anew, so that Python's csv alone decides what a record is, here as at the upload.
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            rows = sum(1 for _ in map(writer.writerow, records))
        parameters = {
            **{"file": str(path), "nulls": list(NULLS), "rows": rows, "comma": comma},
            "columns": {str(number): "VARCHAR" for number in range(columns)},
        }
        with _duckdb() as connection:
            connection.sql(_PART, params=parameters).write_parquet(str(part), compression="zstd")
        return part.read_bytes()


class _Partials(AbstractFileSystem):  # type: ignore[misc] # fsspec ships no types
    """The parts as files that DuckDB reads: one at a time is in memory.

    :ivar error: what a read raised; DuckDB would pass on its text alone.
    """

    protocol = "part"
    cachable = False

    def __init__(self, read: Callable[[int], bytes]) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self._read = lru_cache(1)(read)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {"name": path, "size": len(self.read(path)), "type": "file"}

    def modified(self, path: str) -> datetime:
        return datetime(1970, 1, 1)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> BytesIO:
        return BytesIO(self.read(path))

    def read(self, path: str) -> bytes:
        """Return the part at *path*."""
        try:
            return self._read(int(path.rpartition("/")[2]))
        except BaseException as error:
            self.error = error
            raise


class _Column(SimpleNamespace):
    """A row of _COLUMNS, and what a report says of it."""

    def shown(self, item: Any) -> Any:
        """Return *item*, a value or the edge of a bin, as a report has it."""
        if item is None:
            return None
        if self.kind in TIMES:
            number = min(max(float(item), BEGIN), END)
            text = (datetime(1970, 1, 1) + timedelta(microseconds=number)).isoformat()
            return text[:10] if self.kind == "date" else text + "Z" * (self.kind == "instant")
        if self.kind in NUMBERS:
            return int(item) if self.kind == "integer" else float(item)
        if self.kind == "boolean":
            return item == "true"
        return item if "\0" not in item else item.partition("\0")[0] + "…"

    def remarks(self) -> list[str]:
        """Return the guesses, each the end of a sentence."""
        found = {
            "decimal comma": "has numbers with a decimal comma.",
            "digits": "stays text: numbers in it have zeros in front, or more than 18 digits.",
            "instant": "has times with offsets, which are shown in UTC." if self.shifted else "",
        }.get(self.kind, "")
        is_cut = self.cut and self.kind in TIMES
        cut = "has times with nine digits of a second, of which six are shown." if is_cut else ""
        return [remark for remark in (found, cut) if remark]

    def edges(self, keys: list[str]) -> tuple[Any, Any]:
        """Return the least and the greatest value, of a boolean column those of its *keys*."""
        if self.kind == "boolean":
            return min(keys), max(keys)
        if self.kind == "integer":
            return self.least, self.most
        return (self.low, self.high) if self.width else (self.first, self.last)

    def histogram(self, counts: dict[int, int]) -> list[dict[str, Any]] | None:
        """Return the bins, of which those that *counts* has hold something."""
        if (width := self.width) is None:
            return None
        if math.isinf(width):
            value = self.shown(self.low)
            return [{"start": value, "end": value, "count": self.count}]
        return [
            {
                "start": self.shown(n * width),
                "end": self.shown(n * width + width),
                "count": counts.get(n, 0),
            }
            for n in range(min(counts), max(counts) + 1)
        ]

    def outcome(self, bins: list[list[Any]], values: list[list[Any]]) -> dict[str, Any]:
        """Return what a report says of it.

        :param bins: the number of each that holds something, its count, the sum of squares.
        :param values: of the most frequent ones: how many there are in all, each, its count.
        """
        low, high = self.edges([key for _, key, _ in values])
        deviation = None
        if self.kind in NUMBERS and self.count > 1:
            deviation = math.sqrt(math.fsum(bin_[2] for bin_ in bins) / (self.count - 1))
        exact = values[0][0] if values else 0
        return {
            "type": TYPES.get(self.kind, self.kind),
            "count": self.count,
            "nulls": self.cells - self.count,
            "distinct": exact if self.is_exact else min(self.different, self.count),
            "distinct_is_estimate": not self.is_exact,
            "min": self.shown(low),
            "max": self.shown(high),
            "mean": self.mean,
            "stddev": deviation,
            "histogram": self.histogram({number: count for number, count, _ in bins}),
            "top": [
                {"value": self.shown(key), "count": count}
                for _, key, count in values
                # Where not all are counted, one that is left out is at most so frequent.
                if self.is_exact or count * 100 > self.cells
            ],
            "top_is_estimate": not self.is_exact,
            "remarks": self.remarks(),
        }


def merge(read: Callable[[int], bytes], parts: int, rows: int, limit: int) -> list[dict[str, Any]]:
    """Return what a report says of each column of a file (:class:`apps.reports.schemas.Column`).

    :param read: returns a partial profile by its number, of which there are so many *parts*.
    :param limit: up to so many different values of a column are counted exactly.
    :raises ValueError: the parts don't add up to *rows*; one is missing or there twice.
    """
    source = _Partials(read)
    with _duckdb(source) as connection:
        files = [f"part://{part}" for part in range(parts)]
        connection.execute(f"CREATE VIEW parts AS FROM read_parquet({files})")
        connection.execute(_COLUMNS, {"limit": limit, "most": MAX_VALUES})
        found = connection.execute("FROM columns ORDER BY col")
        names = [name for name, *_ in found.description]
        columns = [_Column(**dict(zip(names, row, strict=True))) for row in found.fetchall()]
        if wrong := {column.cells for column in columns} - {rows}:
            raise ValueError(f"{wrong.pop()} cells in {rows} rows")
        bins, top = defaultdict(list), defaultdict(list)
        for number, *bin_ in connection.execute(_BINS).fetchall():
            bins[number].append(bin_)
        for number, *value in connection.execute(_VALUES, {"top": TOP}).fetchall():
            top[number].append(value)
    return [column.outcome(bins[column.col], top[column.col]) for column in columns]
