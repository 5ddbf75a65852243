"""Looks at the beginning of a file: is it text, is it something else than CSV, which delimiter."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from io import StringIO

from .errors import CsvError

DELIMITERS = (",", ";", "\t", "|")

#: How well-known binary files begin. From file(1)'s magic and the formats' specifications.
SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel or OpenDocument workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
)
_REMEDY = "Save the table as CSV (UTF-8) and upload that."

_UTF16_32 = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

#: Text in other languages than CSV. JSON needs the character after the bracket: `[id],name` is a
#: header like any other.
_OTHER_TEXT = (
    (re.compile(r"\s*<(!doctype\s+html|html|head|body|table)\b", re.I), "an HTML page"),
    (re.compile(r"\s*<(\?xml|!doctype|!--|[a-z][\w:.-]*[\s/>])", re.I), "an XML document"),
    (re.compile(r'\s*\{\s*("|\}|\{)'), "JSON"),
    (re.compile(r'\s*\[\s*(\{|\[|"[^"]*"\s*[,\]]|-?\d[\d.]*\s*[,\]]|\]|true\b|null\b)'), "JSON"),
    (re.compile(r"\s*\{\\rtf"), "an RTF document"),
)


def refuse_binary(head: bytes) -> None:
    """Raise :class:`CsvError` if a file that begins with *head* is known to be no UTF-8 text."""
    for bom, name in _UTF16_32:
        if head.startswith(bom):
            raise CsvError(
                "wrong_encoding",
                f"The file is {name} text, and only UTF-8 is read. Save it as CSV (UTF-8).",
                1,
            )
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            raise CsvError("binary", f"The file is {name}, not CSV. {_REMEDY}")
    if 0 in head[:4096]:
        sample = head[:4096]
        # Text without a byte order mark: every second byte of the Latin letters is zero.
        zeros = max(sample[::2].count(0), sample[1::2].count(0))
        if sample.count(0) == zeros and zeros > len(sample) * 0.4:
            raise CsvError(
                "wrong_encoding",
                "The file looks like UTF-16 text, and only UTF-8 is read. Save it as CSV (UTF-8).",
                1,
            )
    if b"\0" in head:
        raise CsvError(
            "binary", f"The file holds zero bytes: it is binary data, not CSV. {_REMEDY}"
        )


def refuse_other_text(head: str) -> None:
    """Raise :class:`CsvError` if a text that begins with *head* is HTML, XML, JSON or RTF."""
    for pattern, name in _OTHER_TEXT:
        if pattern.match(head):
            raise CsvError("not_csv", f"The file is {name}, not CSV. {_REMEDY}")


def detect_delimiter(sample: str) -> str:
    """Return the delimiter of a text that begins with *sample*, which ends at the end of a line.

    The one that splits the header and the first records into equally many fields, two or more; of
    several, the one with the most fields. If no record agrees with the header (the file is ragged),
    the one that splits the header into the most fields. A file of one column has none: a comma.
    """
    best, best_score = DELIMITERS[0], (False, 1)
    for delimiter in DELIMITERS:
        reader = csv.reader(StringIO(sample, newline=""), delimiter=delimiter)
        lengths = [len(row) for row in itertools.islice(filter(None, reader), 20)]
        score = (len(set(lengths)) == 1, lengths[0] if lengths else 0)
        if score[1] >= 2 and score > best_score:
            best, best_score = delimiter, score
    return best
