"""A file that arrives in pieces is cut into blocks of complete records."""

from __future__ import annotations

import csv
import random
from io import StringIO

import pytest

from apps.reports.csvstream import CsvStream
from durable.web.uploads import FileError


def cut(data: bytes, block_bytes: int = 1024, pieces: list[bytes] | None = None) -> list[bytes]:
    return cut_with(CsvStream(block_bytes), pieces or [data])


def cut_with(stream: CsvStream, pieces: list[bytes]) -> list[bytes]:
    blocks = [block for piece in pieces for block in stream.feed(piece)]
    return [*blocks, *stream.close()]


def records(blocks: list[bytes], delimiter: str = ",") -> list[list[str]]:
    return [
        row
        for block in blocks
        for row in csv.reader(StringIO(block.decode(), newline=""), delimiter=delimiter)
        if row
    ]


def a_table(seed: int, line_end: str) -> tuple[str, list[list[str]]]:
    """Return a CSV text with everything that is hard to cut, and its records."""
    chance = random.Random(seed)
    rows: list[list[object]] = [["id", "text", "über"]]
    for number in range(chance.randrange(1, 400)):
        text = "".join(chance.choices('ab,"\n\r;é日🐍', k=chance.randrange(12)))
        rows.append([number, text, chance.choice(["x", "", 'say "hi"', "日本"])])
    out = StringIO(newline="")
    # Texts in quotes: the writer wouldn't quote a CR if that isn't the line end.
    csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return out.getvalue(), [[str(cell) for cell in row] for row in rows]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("seed", range(15))
def test_the_blocks_hold_exactly_the_records_of_the_file_however_it_arrives(
    seed: int, line_end: str
) -> None:
    text, rows = a_table(seed, line_end)
    data = text.encode()
    chance = random.Random(seed)
    whole = cut(data, 256)
    assert records(whole) == rows[1:]
    for _ in range(3):
        places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(40)))
        bounds = zip([0, *places], [*places, len(data)], strict=True)
        assert cut(data, 256, [data[start:end] for start, end in bounds]) == whole


def test_each_byte_may_come_alone() -> None:
    text, _ = a_table(3, "\r\n")
    data = text.encode()
    assert cut(data, 100, [data[i : i + 1] for i in range(len(data))]) == cut(data, 100)


def test_a_block_is_about_as_large_as_asked_for() -> None:
    data = b"a,b\n" + b"123,456\n" * 100_000
    blocks = cut(data, 64 * 1024)
    assert all(len(block) > 63 * 1024 for block in blocks[:-1])
    assert max(len(block) for block in blocks) <= 64 * 1024


def test_no_more_than_a_block_waits_in_memory() -> None:
    stream = CsvStream(64 * 1024)
    line = b'1,"a ""quoted"" text\nof two lines"\n'
    list(stream.feed(b"a,b\n"))
    for _ in range(200):
        list(stream.feed(line * 100))
        assert len(stream._buffer) <= 64 * 1024 + 2 * len(line)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a,b,c", ","),
        ("a;b;c", ";"),
        ("a\tb\tc", "\t"),
        ("a|b|c", "|"),
        ("single", ","),
        ('"a,b";c', ";"),
        ("price, EUR;name", ";"),
    ],
)
def test_the_delimiter_is_found(header: str, expected: str) -> None:
    stream = CsvStream(1024)
    width = 1 if header == "single" else header.count(expected) + 1
    row = expected.join(["1"] * width)
    cut_with(stream, [f"{header}\n{row}\n{row}\n".encode()])
    assert stream.delimiter == expected
    assert len(stream.columns) == width


def test_a_decimal_comma_does_not_outvote_the_semicolon() -> None:
    stream = CsvStream(1024)
    cut_with(stream, [b"a;b,c;d\n1,5;2,5;3,5\n1,5;2,5;3\n"])
    assert stream.delimiter == ";"
    assert stream.columns == ["a", "b,c", "d"]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    stream = CsvStream(1024)
    cut_with(stream, ["\ufeffid,name\n1,x\n".encode()])
    assert stream.columns == ["id", "name"]


def test_names_lose_the_blanks_around_them() -> None:
    stream = CsvStream(1024)
    cut_with(stream, [b" id , name\n1,x\n"])
    assert stream.columns == ["id", "name"]


def test_a_name_may_have_a_line_break() -> None:
    stream = CsvStream(16)
    blocks = cut_with(stream, [b'id,"a very long\nname of a column"\n1,x\n'])
    assert stream.columns == ["id", "a very long\nname of a column"]
    assert blocks == [b"1,x\n"]


def test_blank_lines_are_skipped_but_counted_as_lines() -> None:
    stream = CsvStream(1024)
    assert records(cut_with(stream, [b"\n\na,b\n\n1,2\n\n\n3,4\n\n"])) == [["1", "2"], ["3", "4"]]
    assert stream.rows == 2
    with pytest.raises(FileError, match="Line 7 has 1 field"):
        cut(b"\n\na,b\n\n1,2\n\n3\n\n")


def test_the_last_line_needs_no_line_end() -> None:
    assert records(cut(b"a,b\n1,2\n3,4")) == [["1", "2"], ["3", "4"]]


def test_a_stray_quote_in_a_field_opens_nothing() -> None:
    rows = [f'{number},5" pipe,"two\nlines"' for number in range(60)]
    blocks = cut("\n".join(["id,what,note", *rows]).encode(), 128)
    assert len(blocks) > 5
    assert records(blocks) == [[str(i), '5" pipe', "two\nlines"] for i in range(60)]


def test_a_formula_stays_data() -> None:
    cell = '=HYPERLINK("http://example.com";"click")'
    out = StringIO()
    csv.writer(out).writerows([["a", "b"], [cell, "@SUM(1)"]])
    assert records(cut(out.getvalue().encode())) == [[cell, "@SUM(1)"]]


def test_a_record_may_be_much_longer_than_a_block() -> None:
    text = "x" * 300_000
    assert records(cut(f"a,b\n1,{text}\n2,y\n".encode(), 1024)) == [["1", text], ["2", "y"]]
