"""Looks at the beginning of a file: is it text, is it CSV, what separates and names its columns."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from itertools import count, islice

from durable.web.uploads import FileError

#: In the order of preference. Several may split every line alike: each price of a file with
#: semicolons holds a comma. Hardly a text holds a tab, a semicolon or a bar in every line.
DELIMITERS = {"\t": "tabs", ";": "semicolons", "|": "vertical bars", ",": "commas"}
#: Excel's and LibreOffice's first line, which names the separator and is no record.
_HINT = re.compile(rb'"?sep=([\t -~])"?[ \t]*(\r\n|\n|\r)', re.I)

#: How the binary files begin that tables come in; others are found by their bytes.
_SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive or an Excel or OpenDocument workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"\x1f\x8b": "a gzip file",
    b"%PDF-": "a PDF document",
    b"PAR1": "a Parquet file",
}
#: Text in other languages than CSV. JSON needs the character after the bracket: `[id],name` is a
#: header like any other.
_OTHER_TEXT = {
    r"\s*<(!doctype\s+html|html|head|body|table)\b": "an HTML page",
    r"\s*<(\?xml|!doctype|!--|[a-z][\w:.-]*[\s/>])": "an XML document",
    r'\s*(\{\s*("|\}|\{)|\[\s*(\{|\[|"[^"]*"\s*[,\]]|-?\d[\d.]*\s*[,\]]|\]|(true|null)\b))': "JSON",
    r"\s*\{\\rtf": "an RTF document",
}
REMEDY = "Save the table as CSV (UTF-8) and upload that."


def refuse_other(head: bytes) -> None:
    """Raise :class:`FileError` if what begins with *head* is known to be no CSV in UTF-8."""
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            raise FileError(415, "binary", f"The file is {name}, not CSV. {REMEDY}")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or (
        0.4 * len(head) < max(head[::2].count(0), head[1::2].count(0)) == head.count(0)
    ):  # every second byte of Latin letters is zero
        raise FileError(422, "wrong_encoding", f"The file is UTF-16 or UTF-32 text. {REMEDY}", 1)
    if b"\0" in head:
        raise FileError(415, "binary", f"The file holds zero bytes: it is binary data. {REMEDY}")
    text = head.decode(errors="replace").removeprefix("\ufeff")
    for pattern, name in _OTHER_TEXT.items():
        if re.match(pattern, text, re.I):
            raise FileError(415, "not_csv", f"The file is {name}, not CSV. {REMEDY}")


def take_hint(head: bytearray) -> str:
    """Return the separator that a first line ``sep=;`` names, and remove the line; else nothing."""
    match = _HINT.match(head)
    if match is None:
        return ""
    hint = match[1].decode()
    del head[: match.end()]
    return hint


def detect_delimiter(sample: str) -> str:
    """Return the delimiter of a text that begins with *sample*, which ends at the end of a line.

    The first of DELIMITERS that splits the header and the first records into equally many fields,
    two or more. If none does (the file is ragged), the one that splits the header into the most
    fields. A file of one column has none: a comma.
    """
    widest, fields = ",", 1
    for delimiter in DELIMITERS:
        reader = csv.reader(StringIO(sample, newline=""), delimiter=delimiter)
        lengths: list[int] = []
        with suppress(csv.Error):  # a record is too long, which is refused later with its line
            lengths.extend(len(row) for row in islice(filter(None, reader), 20))
        if len(lengths) > 1 and lengths[0] >= 2 and len(set(lengths)) == 1:
            return delimiter
        if lengths and lengths[0] > fields:
            widest, fields = delimiter, lengths[0]
    return widest


def named(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return a name for each column, and what was guessed of them as sentences.

    A column without a name (the index that pandas and R write) is called by its number, one whose
    name is taken gets a number behind it.
    """
    names: list[str] = []
    notes = []
    for number, given in enumerate(header, 1):
        name = base = given or f"column {number}"
        repeats = count(2)
        while name in names or (name != given and name in header):
            name = f"{base} {next(repeats)}"
        if name != given:
            was = f"is one more “{given}”" if given else "has no name in the header"
            notes.append(f"Column {number} {was}; it is called “{name}” here.")
        names.append(name)
    return names, notes
