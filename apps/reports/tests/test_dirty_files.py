"""CSV files as people have them: read as they are meant, and the report says what was guessed."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from .helpers import upload, work


def report(owner: User, data: str) -> tuple[dict[str, Any], list[str]]:
    """Return the report's columns by name, and its notes."""
    result = work(upload(owner, data.encode())).result
    assert result is not None
    return {column["name"]: column for column in result["columns"]}, result["notes"]


@pytest.mark.parametrize(
    ("data", "names", "note"),
    [
        pytest.param(",a\n0,x\n1,y\n", ["column 1", "a"], "Column 1 has no name", id="pandas"),
        pytest.param('"","a"\n"1","x"\n', ["column 1", "a"], "Column 1 has no name", id="R"),
        pytest.param("a,,c\n1,2,3\n", ["a", "column 2", "c"], "called “column 2”", id="within"),
        pytest.param("a,\n1,2\n", ["a", "column 2"], "called “column 2”", id="last, with values"),
        pytest.param("column 2,,\n1,2,3\n", ["column 2", "column 2 2", "column 3"], "“column 2 2”"),
        pytest.param(
            "Labels,id,Labels,Labels\na,1,b,c\n",
            ["Labels", "id", "Labels 2", "Labels 3"],
            "Column 3 is one more “Labels”; it is called “Labels 2” here.",
            id="repeated",
        ),
        pytest.param(
            "Labels,Labels,Labels 2\n1,2,3\n",
            ["Labels", "Labels 3", "Labels 2"],
            "“Labels 3”",
            id="repeated, and the next name is taken",
        ),
        pytest.param("sep=;\na;b\n1;2\n", ["a", "b"], "separated by semicolons", id="sep=;"),
        pytest.param("\ufeffSEP=|\r\na|b\r\n1|2\r\n", ["a", "b"], "vertical bars", id="sep=|"),
        pytest.param('"sep=~"\na~b\n1~2\n', ["a", "b"], "separated by “~”", id="sep=~"),
        pytest.param("a,b,\n1,2,\n3,4,\n", ["a", "b"], "without a name and a value: 1", id="comma"),
        pytest.param("a,b,,\n1,2,,\n3,4,,\n", ["a", "b"], "a value: 2", id="commas of Excel"),
        pytest.param("a,b\n1,2,\n3,4,\n", ["a", "b"], None, id="comma, not in the header"),
        pytest.param("a,b,\n1,2\n3,4\n", ["a", "b"], "a value: 1", id="comma in the header alone"),
        pytest.param("x, y;z, w\n1, 2;3, 4\n", ["x, y", "z, w"], "semicolons", id="; and commas"),
        pytest.param("who\twhat\na, b\tc, d, e\n", ["who", "what"], "tabs", id="tab and commas"),
        pytest.param("a,b c\n1,x;y\n2,z;w\n", ["a", "b c"], None, id="commas and ;"),
    ],
)
def test_columns_get_their_names(
    owner: User, data: str, names: list[str], note: str | None
) -> None:
    columns, notes = report(owner, data)
    assert list(columns) == names
    assert [text for text in notes if note and note in text][: len(notes)] or not (note or notes)


@pytest.mark.parametrize(
    ("values", "kind", "low", "high", "note"),
    [
        (["02134", "90210"], "text", "02134", "90210", "stays text: numbers in it have zeros in"),
        (["0", "-7", "12"], "integer", -7, 12, None),
        (["1234567890123456789"], "text", "1234567890123456789", ..., "more than 18 digits"),
        (
            ["2013-01-01 12:00:00+02", "2013-01-01T12:00:00.5+0530"],
            *("datetime", "2013-01-01T06:30:00.500000Z", "2013-01-01T10:00:00Z", "shown in UTC"),
        ),
        (
            ["2013-01-01 12:00:00 UTC", "2013-01-02 00:00 +01:00", "2013-01-03T00:00 GMT"],
            *("datetime", "2013-01-01T12:00:00Z", "2013-01-03T00:00:00Z", "shown in UTC"),
        ),
        (
            ["2013-01-01T10:00:00.123456789", "2013-01-02"],
            *("datetime", "2013-01-01T10:00:00.123456", "2013-01-02T00:00:00", "nine digits"),
        ),
        (["2013-01-01T10:00:00.123000000Z"], "datetime", "2013-01-01T10:00:00.123000Z", ..., None),
        (["1,5", "-3", ",25", "1,5e3"], "number", -3.0, 1500.0, "decimal comma"),
        (["1,5", "1.5"], "text", "1,5", "1.5", None),
        (["1.234,5"], "text", "1.234,5", ..., None),
    ],
)
def test_values_are_read_and_what_would_be_lost_stays(
    owner: User, values: list[str], kind: str, low: object, high: object, note: str | None
) -> None:
    columns, notes = report(owner, "n;v\n" + "".join(f"{n};{v}\n" for n, v in enumerate(values)))
    found = columns["v"]
    assert (found["type"], found["min"]) == (kind, low)
    assert found["max"] == (low if high is ... else high)
    assert notes[0] == "The columns are separated by semicolons."
    assert [text for text in notes[1:] if text.startswith("“v” ") and str(note) in text] == notes[
        1:
    ]
    assert bool(notes[1:]) == bool(note)


def test_a_decimal_comma_is_read_beside_semicolons_alone(owner: User) -> None:
    columns, notes = report(owner, 'a,b\n"1,5",2\n')
    assert (columns["a"]["type"], notes) == ("text", [])
