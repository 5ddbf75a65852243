"""A report as JSON: in the API's answers and in the file that is downloaded."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field

#: A number of a numeric column, true or false of a boolean one, else text (dates: ISO 8601).
Value = bool | int | float | str


class Progress(Schema):
    """How many chunks the file was cut into, and how many of them are profiled."""

    done: int
    total: int = Field(description="0 until the whole file has arrived")


class Bin(Schema):
    """One bar of a histogram, whose bins have one width and no gaps."""

    start: Value = Field(description="Inclusive")
    end: Value = Field(description="Exclusive")
    count: int


class TopValue(Schema):
    """A frequent value."""

    value: Value
    count: int


class Column(Schema):
    """The profile of a column."""

    name: str
    type: Literal["boolean", "integer", "number", "date", "datetime", "text", "empty"]
    count: int = Field(description="Cells that hold a value")
    nulls: int = Field(description="Cells that hold none")
    distinct: int
    distinct_is_estimate: bool
    min: Value | None
    max: Value | None
    mean: float | None = Field(description="Of numbers")
    stddev: float | None = Field(description="Of a sample (n - 1), of numbers")
    histogram: list[Bin] | None = Field(description="Of numbers and dates")
    top: list[TopValue] = Field(description="The most frequent values, at most 10")
    top_is_estimate: bool = Field(description="The counts of `top` are lower bounds")


class Result(Schema):
    """The profile of the file."""

    rows: int
    columns: list[Column]
    notes: list[str] = Field(default=[], description="Of what had to be guessed, for a person")


class ReportSummary(Schema):
    """A report without its result."""

    id: UUID
    name: str = Field(description="The file's name")
    state: Literal["uploading", "processing", "done", "failed"]
    progress: Progress
    error: str = Field(description="Why it failed, for a person; else empty")
    size_bytes: int
    sha256: str = Field(description="Of the file, in hexadecimal; empty until it has arrived")
    created_at: datetime
    finished_at: datetime | None


class ReportDetail(ReportSummary):
    """A report, with its result once there is one."""

    result: Result | None


class ReportPage(Schema):
    """Some of one's reports, newest first."""

    items: list[ReportSummary]
    count: int = Field(description="How many there are in all")


class Accepted(Schema):
    """An upload that the workers now have."""

    id: UUID
    status_url: str = Field(description="Where to ask how it gets on, and for the result")
