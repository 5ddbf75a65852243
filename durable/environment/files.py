"""The text of a file that a person or their editor wrote, on whatever system."""

from __future__ import annotations

import codecs
from pathlib import Path

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableError(ValueError):
    """The reason why a file can't be read; nothing of its text."""


def read_text(path: Path) -> str:
    """Return the text of *path*, without the byte order mark that editors on Windows put before it.

    :raises UnreadableError: no such file, or another encoding than UTF-8.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UnreadableError(getattr(error, "strerror", None) or "no path") from error
    if content.startswith(UTF_16) or b"\0" in content:
        raise UnreadableError("it is UTF-16 or no text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            f"line {line} is not UTF-8 but perhaps Latin-1 or Windows-1252; save it as UTF-8"
        ) from error
