"""Cuts a CSV file that arrives in pieces into blocks of complete records, in bounded memory."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from io import StringIO

from durable.web.uploads import FileError

from .dialect import REMEDY, detect_delimiter, refuse_other, take_hint

#: The longest record, in bytes. What has no end after so many is no row of a table.
MAX_RECORD_BYTES = 1024 * 1024
#: A worker keeps some figures of each column in memory.
MAX_COLUMNS = 500
#: Characters of a column's name, which each answer on the report repeats.
MAX_NAME = 200
# The csv module's own limit of a field (131,072 characters) is lower.
csv.field_size_limit(MAX_RECORD_BYTES)

_LINE_END = re.compile(rb"\r\n|\n|\r")


class CsvStream:
    """A push parser: ``feed()`` it bytes in pieces of any size, then ``close()`` it.

    Both yield blocks: complete records, byte for byte as they stand in the file. Python's
    :mod:`csv` decides where a record ends, so that the workers, which use it too, see the same
    records: a stray quote within a field opens nothing, and counting quotes would be fooled.
    A file's line ends may be LF, CRLF or CR. Blank lines are skipped, as pandas does. The blocks
    depend on the file alone, not on how it was cut into pieces.

    :param block_bytes: how large the blocks are, about; one is at most this or one record.
    :ivar columns: the names in the header as they are there, without the blanks around them.
    :ivar delimiter: as the file's first line says (``sep=;``), else found from the first records.
    :ivar rows: how many records were seen.
    """

    def __init__(self, block_bytes: int) -> None:
        self.columns: list[str] = []
        self.delimiter = ""
        self.rows = 0
        self._line = 0  # lines of the file before the buffer
        self._buffer = bytearray()
        self._block_bytes = self._window = block_bytes  # how much of the buffer is looked at
        self._hint: str | None = None  # until the beginning was looked at

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the file; yield the blocks that are complete.

        :raises FileError: the file can't be used; this stream must not be fed any further.
        """
        self._buffer += data
        while len(self._buffer) >= self._window:
            self._start()
            size = len(self._buffer)
            # A CR at the window's end may be the first half of a CRLF.
            last_lf = self._buffer.rfind(b"\n", 0, self._window)
            last_cr = self._buffer.rfind(b"\r", 0, self._window - 1)
            yield from self._take(max(last_lf, last_cr) + 1)
            if len(self._buffer) < size:
                self._window = self._block_bytes
            elif self._window < MAX_RECORD_BYTES:
                self._window = min(2 * self._window, MAX_RECORD_BYTES)
            else:
                raise self._too_long(0)

    def close(self) -> Iterator[bytes]:
        """Take the end of the file; yield the last block, if there is one.

        :raises FileError: the file can't be used.
        """
        self._start()
        yield from self._take(len(self._buffer), at_end=True)
        if not self.columns:
            raise FileError(422, "empty", "The file is empty.")
        if not self.rows:
            text = "The file holds a header, but no row below it."
            raise FileError(422, "header_only", text)

    def _start(self) -> None:
        if self._hint is None:
            refuse_other(bytes(self._buffer[:4096]))
            if self._buffer.startswith(codecs.BOM_UTF8):
                del self._buffer[:3]
            self._hint = take_hint(self._buffer)
            self._line += bool(self._hint)

    def _take(self, end: int, at_end: bool = False) -> Iterator[bytes]:
        """Take the complete records out of the buffer's first *end* bytes, all whole lines."""
        text = self._decode(bytes(self._buffer[:end]))
        if not self.columns:
            self.delimiter = self._hint or detect_delimiter(text)
        lines = StringIO(text, newline="")
        is_over = False

        def lines_and_end() -> Iterator[str]:
            """Yield the lines and a line break, which completes a record if a quote is open."""
            nonlocal is_over
            yield from lines
            is_over = True
            yield "\n"

        reader = csv.reader(lines_and_end(), delimiter=self.delimiter)
        start = length = line = rows = 0
        try:
            for row in reader:
                if is_over:
                    if row and at_end:
                        at = self._line + line + 1
                        text = f"Line {at}: a quotation mark opens in the record that begins here "
                        raise FileError(422, "unclosed_quote", f"{text}and is never closed.", at)
                    break
                if row and not self.columns:
                    self.columns = _names(row, self._line + line + 1)
                    start = lines.tell()
                elif row:
                    if len(row) != len(self.columns):
                        self._check_width(row, self._line + line + 1)
                    rows += 1
                line, length = reader.line_num, lines.tell()
        except csv.Error:
            raise self._too_long(line) from None
        block = text[start:length].encode()
        del self._buffer[: len(text[:start].encode()) + len(block)]
        self._line += line
        self.rows += rows
        if rows:
            yield block

    def _check_width(self, row: list[str], line: int) -> None:
        """Refuse *row* unless it differs from the header by empty fields at its end alone."""
        fields, width = len(row), len(self.columns)
        if any(row[width:]) or any(self.columns[fields:]):
            has = f"{fields} field{'s' * (fields != 1)}, but the header has {width}"
            raise FileError(422, "ragged_row", f"Line {line} has {has}.", line)

    def _decode(self, data: bytes) -> str:
        if b"\0" in data:
            line = self._line_of(data, data.index(b"\0"))
            text = f"Line {line} holds a zero byte: this is binary data, not CSV."
            raise FileError(415, "binary", text, line)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = self._line_of(data, error.start)
            text = f"Line {line} is not UTF-8 text (byte 0x{data[error.start]:02X}). {REMEDY}"
            raise FileError(422, "wrong_encoding", text, line) from error

    def _line_of(self, data: bytes, position: int) -> int:
        return self._line + 1 + len(_LINE_END.findall(data, 0, position))

    def _too_long(self, complete_lines: int) -> FileError:
        line = self._line + complete_lines + 1
        kib = MAX_RECORD_BYTES // 1024
        text = f"The record that begins on line {line} is longer than {kib} KiB."
        # Whole lines, and yet no whole record: a quoted field goes on and on.
        if _LINE_END.search(self._buffer, 0, self._window - 1) and b'"' in self._buffer:
            text += " Perhaps a quotation mark in it is never closed."
        return FileError(422, "record_too_long", text, line)


def _names(header: list[str], line: int) -> list[str]:
    if len(header) > MAX_COLUMNS:
        text = f"The file has {len(header):,} columns, and at most {MAX_COLUMNS:,} are profiled."
        raise FileError(422, "too_many_columns", text, line)
    names = [name.strip() for name in header]
    for number, name in enumerate(names, 1):
        if len(name) > MAX_NAME:
            text = f"The name of column {number} is longer than {MAX_NAME} characters."
            raise FileError(422, "long_name", text, line)
    return names


def records(data: bytes, delimiter: str, columns: int) -> Iterator[list[str]]:
    """Yield the records of a block, each with so many *columns*."""
    blanks = [""] * columns
    for row in csv.reader(StringIO(data.decode(), newline=""), delimiter=delimiter):
        if row:  # a blank line is no record
            yield row if len(row) == columns else [*row, *blanks][:columns]
