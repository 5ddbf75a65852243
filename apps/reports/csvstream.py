"""Cuts a CSV file that arrives in pieces into blocks of complete records, in bounded memory."""

from __future__ import annotations

import codecs
import csv
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import chain
from typing import NoReturn

from .errors import CsvError
from .header import parse_header
from .sniff import detect_delimiter, refuse_binary, refuse_other_text

#: The longest record, in bytes. What has no end after so many is no row of a table.
MAX_RECORD_BYTES = 1024 * 1024
# The csv module's own limit of a field (131,072 characters) is lower.
csv.field_size_limit(MAX_RECORD_BYTES)

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Block:
    """Complete records, byte for byte as they stand in the file.

    :ivar number: counted from 0.
    :ivar first_line: the line of the file where *data* begins, counted from 1.
    :ivar rows: how many records; blank lines are none.
    """

    number: int
    first_line: int
    rows: int
    data: bytes


class CsvStream:
    """A push parser: ``feed()`` it bytes in pieces of any size, then ``close()`` it.

    Python's :mod:`csv` decides where a record ends, so that the workers, which use it too, see the
    same records: a stray quote within a field opens nothing, and counting quotes would be fooled.
    A file's line ends may be LF, CRLF or CR. Blank lines are skipped, as pandas does. The blocks
    depend on the file alone, not on how it was cut into pieces.

    :param block_bytes: how large the blocks are, about; one is at most this or one record.
    :ivar columns: the names in the header, once the first block has been seen.
    :ivar delimiter: found from the first records among ``, ; tab |``.
    :ivar rows: how many records were seen.
    """

    def __init__(self, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.columns: list[str] = []
        self.delimiter = ""
        self.rows = 0
        self._blocks = 0
        self._line = 1  # the line of the file where the buffer begins
        self._buffer = bytearray()
        self._window = block_bytes  # how much of the buffer is looked at
        self._started = False

    def feed(self, data: bytes) -> Iterator[Block]:
        """Take the next bytes of the file; yield the blocks that are complete.

        :raises CsvError: the file can't be used; this stream must not be fed any further.
        """
        self._buffer += data
        while len(self._buffer) >= self._window:
            self._start()
            before = len(self._buffer)
            # A CR at the window's end may be the first half of a CRLF.
            last_lf = self._buffer.rfind(b"\n", 0, self._window)
            last_cr = self._buffer.rfind(b"\r", 0, self._window - 1)
            yield from self._take(max(last_lf, last_cr) + 1)
            if len(self._buffer) < before:
                self._window = self.block_bytes
            elif self._window < MAX_RECORD_BYTES:
                self._window = min(2 * self._window, MAX_RECORD_BYTES)
            else:
                self._refuse_long_record()

    def close(self) -> Iterator[Block]:
        """Take the end of the file; yield the last block, if there is one.

        :raises CsvError: the file can't be used.
        """
        self._start()
        yield from self._take(len(self._buffer), at_end=True)
        if not self.columns:
            raise CsvError("empty", "The file is empty.")
        if not self.rows:
            raise CsvError("header_only", "The file holds a header, but no row below it.")

    def _start(self) -> None:
        if not self._started:
            self._started = True
            refuse_binary(bytes(self._buffer[: self.block_bytes]))
            if self._buffer.startswith(codecs.BOM_UTF8):
                del self._buffer[:3]

    def _take(self, end: int, at_end: bool = False) -> Iterator[Block]:
        """Take the complete records out of the buffer's first *end* bytes, all whole lines."""
        text = self._decode(bytes(self._buffer[:end]))
        if text and not self.columns:
            text = self._take_header(text, at_end)
        if not text or not self.columns:
            return
        lines = StringIO(text, newline="")
        # After complete records the line break added here makes an empty row; within a quoted
        # field it becomes part of that field, and the last row isn't empty.
        reader = csv.reader(chain(lines, ("\n",)), delimiter=self.delimiter)
        try:
            lengths = array("I", map(len, reader))
        except csv.Error:
            self._refuse_long_record()
        is_complete = lengths[-1] == 0
        rows, blanks = lengths.count(len(self.columns)), lengths.count(0)
        line_count = reader.line_num - 1
        if not is_complete or rows + blanks != len(lengths):
            rows, line_count, length = self._last_complete(text, is_complete)
            if at_end and not is_complete:
                raise CsvError(
                    "unclosed_quote",
                    f"Line {self._line + line_count}: a quotation mark opens in the record that "
                    "begins here and is never closed.",
                    self._line + line_count,
                )
            text = text[:length]
        data = text.encode()
        if rows:
            yield Block(self._blocks, self._line, rows, data)
            self._blocks += 1
            self.rows += rows
        self._drop(data, line_count)

    def _take_header(self, text: str, at_end: bool) -> str:
        """Read the header and return the text after it; if it isn't complete yet, nothing."""
        refuse_other_text(text[:4096])
        delimiter = detect_delimiter(text)
        lines = StringIO(text, newline="")
        probe = iter(("\n",))
        reader = csv.reader(chain(lines, probe), delimiter=delimiter)
        try:
            names = next(filter(None, reader), None)
        except csv.Error:
            self._refuse_long_record()
        if names is None:  # blank lines only
            self._drop(text.encode(), reader.line_num - 1)
            return ""
        if next(probe, None) is None:  # the line break became part of a quoted name
            if at_end:
                raise CsvError(
                    "unclosed_quote", "A quotation mark in the header is never closed.", self._line
                )
            return ""
        length = lines.tell()
        self.columns = parse_header(names, self._line + reader.line_num - 1)
        self.delimiter = delimiter
        self._drop(text[:length].encode(), reader.line_num)
        return text[length:]

    def _last_complete(self, text: str, is_complete: bool) -> tuple[int, int, int]:
        """Return the rows, lines and characters of *text* up to the end of its complete records.

        :raises CsvError: one of them has more or fewer fields than the header.
        """
        lines = StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=self.delimiter)
        rows = line = length = 0
        for row in reader:
            if lines.tell() == len(text) and not is_complete:
                break
            if row and len(row) != len(self.columns):
                self._refuse_ragged(self._line + line, len(row))
            rows += bool(row)
            line, length = reader.line_num, lines.tell()
        return rows, line, length

    def _drop(self, data: bytes, line_count: int) -> None:
        del self._buffer[: len(data)]
        self._line += line_count

    def _decode(self, data: bytes) -> str:
        if b"\0" in data:
            line = self._line_of(data, data.index(b"\0"))
            raise CsvError(
                "binary", f"Line {line} holds a zero byte: this is binary data, not CSV.", line
            )
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            line = self._line_of(data, error.start)
            raise CsvError(
                "wrong_encoding",
                f"Line {line} is not UTF-8 text (byte 0x{data[error.start]:02X}). "
                "Save the table as CSV (UTF-8) and upload that.",
                line,
            ) from error

    def _line_of(self, data: bytes, position: int) -> int:
        return self._line + len(_LINE_END.findall(data, 0, position))

    def _refuse_ragged(self, line: int, fields: int) -> NoReturn:
        raise CsvError(
            "ragged_row",
            f"Line {line} has {fields} field{'s' * (fields != 1)}, but the header has "
            f"{len(self.columns)}.",
            line,
        )

    def _refuse_long_record(self) -> NoReturn:
        # Whole lines, and yet no whole record: a quoted field goes on and on.
        quoted = _LINE_END.search(self._buffer, 0, self._window - 1) and b'"' in self._buffer
        hint = " Perhaps a quotation mark in it is never closed." if quoted else ""
        raise CsvError(
            "record_too_long",
            f"The record that begins on line {self._line} is longer than "
            f"{MAX_RECORD_BYTES // 1024} KiB.{hint}",
            self._line,
        )
