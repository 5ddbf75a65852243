"""Each bad file is refused with words that say what is wrong and where."""

from __future__ import annotations

import codecs
import gzip
import zipfile
from io import BytesIO

import pytest

from apps.reports.csvstream import MAX_COLUMNS, MAX_RECORD_BYTES, CsvStream
from durable.web.uploads import FileError


def read(data: bytes, block_bytes: int, piece: int) -> None:
    stream = CsvStream(block_bytes)
    for start in range(0, len(data), piece):
        list(stream.feed(data[start : start + piece]))
    list(stream.close())


def refusal(data: bytes, block_bytes: int = 64 * 1024) -> FileError:
    """Return the error for *data*; it must be the same for a file that comes in small pieces."""
    errors = []
    for piece in (len(data) or 1, 1000):
        with pytest.raises(FileError) as caught:
            read(data, block_bytes, piece)
        errors.append(caught.value)
    assert errors[0].detail == errors[1].detail
    return errors[0]


def workbook() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "code", "line", "words"),
    [
        (b"", "empty", None, "The file is empty."),
        (b"\n\r\n\n", "empty", None, "The file is empty."),
        (codecs.BOM_UTF8, "empty", None, "The file is empty."),
        (b"a,b\n", "header_only", None, "a header, but no row"),
        (b"a,b", "header_only", None, "a header, but no row"),
        (b"a,b\n1,2\n3\n", "ragged_row", 3, "Line 3 has 1 field, but the header has 2."),
        (b"a,b\n1,2,3\n", "ragged_row", 2, "Line 2 has 3 fields, but the header has 2."),
        (b'a,b\n"x\ny",2\n\n1,2,3\n', "ragged_row", 5, "Line 5 has 3 fields"),
        (b"a,b\r1,2\r3\r", "ragged_row", 3, "Line 3 has 1 field"),
        (b'a,"b\n1,2\n', "unclosed_quote", 1, "Line 1: a quotation mark opens"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "unclosed_quote", 3, "Line 3: a quotation mark opens"),
        (b"a,b\n1,\xe9t\xe9\n", "wrong_encoding", 2, "Line 2 is not UTF-8 text (byte 0xE9)"),
        (b"a,b\n1,2\n3,\xc3", "wrong_encoding", 3, "Line 3 is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16"), "wrong_encoding", 1, "The file is UTF-16 or UTF-32 text"),
        ("a,b\n1,2\n".encode("utf-32"), "wrong_encoding", 1, "The file is UTF-16 or UTF-32 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "wrong_encoding", 1, "is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-be"), "wrong_encoding", 1, "is UTF-16"),
        (b"a,b\n1,\0\0\n", "binary", None, "zero bytes"),
        (workbook(), "binary", None, "an Excel or OpenDocument workbook"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "binary", None, "a gzip file"),
        (b"\x89PNG\r\n\x1a\n....", "wrong_encoding", 1, "Line 1 is not UTF-8 text"),
        (b"%PDF-1.7\n%....", "binary", None, "a PDF document"),
        (b"PAR1....", "binary", None, "a Parquet file"),
        (b'{"a": 1}\n', "not_csv", None, "The file is JSON, not CSV."),
        (b'[{"a": 1}]', "not_csv", None, "JSON"),
        (b"[1, 2, 3]", "not_csv", None, "JSON"),
        (b'{"a": 1}\n{"a": 2}\n', "not_csv", None, "JSON"),
        (b"<!DOCTYPE html>\n<html><body>", "not_csv", None, "an HTML page"),
        (b"<table><tr><td>1</table>", "not_csv", None, "an HTML page"),
        (b'<?xml version="1.0"?><a/>', "not_csv", None, "an XML document"),
        (b"<rows><row/></rows>", "not_csv", None, "an XML document"),
        (b"{\\rtf1\\ansi", "not_csv", None, "an RTF document"),
    ],
)
def test_a_bad_file_is_refused(data: bytes, code: str, line: int | None, words: str) -> None:
    error = refusal(data)
    assert (error.code, error.line) == (code, line)
    assert words in error.detail


@pytest.mark.parametrize("data", [b"[id],{name}\n1,2\n", b"<5,>5\n1,2\n", b"a\n1\n"])
def test_an_odd_header_is_no_other_language(data: bytes) -> None:
    stream = CsvStream(1024)
    assert not list(stream.feed(data))
    assert len(list(stream.close())) == 1


def test_too_many_columns_are_refused() -> None:
    names = ",".join(f"c{number}" for number in range(MAX_COLUMNS + 1))
    error = refusal(f"{names}\n".encode())
    assert error.code == "too_many_columns"
    assert "501 columns, and at most 500" in error.detail


@pytest.mark.parametrize(
    ("head", "line"), [(b"", 1), (b"a,b\n", 2), (b"a,b\n" + b"1,2\n" * 50_000, 50_002)]
)
@pytest.mark.parametrize("block_kb", [16, 1024, 4096])
def test_a_line_of_10_mb_is_refused_with_the_line_where_it_begins(
    head: bytes, line: int, block_kb: int
) -> None:
    error = refusal(head + b"x" * 10_000_000, block_kb * 1024)
    assert (error.code, error.line) == ("record_too_long", line)
    assert "longer than 1024 KiB" in error.detail
    assert "quotation mark" not in error.detail


@pytest.mark.parametrize("block_kb", [64, 4096])
def test_a_quote_that_is_never_closed_is_suspected_in_an_endless_record(block_kb: int) -> None:
    error = refusal(b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 1_100_000, block_kb * 1024)
    assert (error.code, error.line) == ("record_too_long", 3)
    assert "quotation mark in it is never closed" in error.detail


def test_an_endless_record_is_refused_long_before_its_end() -> None:
    stream = CsvStream(64 * 1024)
    piece = b"x" * 64 * 1024
    for _ in range(MAX_RECORD_BYTES // len(piece) - 1):
        assert not list(stream.feed(piece))
    with pytest.raises(FileError, match="begins on line 1 is longer"):
        list(stream.feed(piece))


def test_a_bad_byte_far_into_the_file_is_found_with_its_line() -> None:
    error = refusal(b"a,b\n" + b'1,"two\nlines"\n' * 20_000 + b"1,\xff\n")
    assert (error.code, error.line) == ("wrong_encoding", 40_002)
    error = refusal(b"a,b\n" + b"1,2\n" * 50_000 + b"1,\0\n")
    assert (error.code, error.line) == ("binary", 50_002)
