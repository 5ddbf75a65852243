"""Text that PostgreSQL can't hold (NUL, half of a surrogate pair), and that of others' objects."""

from __future__ import annotations

from typing import Any

import psycopg

#: What the server says of such a character, in text and in JSON.
_REFUSED = (psycopg.errors.CharacterNotInRepertoire, psycopg.errors.UntranslatableCharacter)


def storable(text: str) -> str:
    """Return *text* with what PostgreSQL's text can't hold written as an escape.

    That is NUL, and half of a surrogate pair (in file names that aren't UTF-8): an error that
    quotes one must not keep its task from ending.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def is_unstorable(error: BaseException) -> bool:
    """Return whether *error* comes from such a text.

    The database has none, nor does a program: it came from outside, with a request.
    """
    if isinstance(error, UnicodeEncodeError):
        return error.encoding == "utf-8"
    cause = error.__cause__
    if isinstance(cause, psycopg.DataError) and cause.sqlstate is None:  # psycopg's own
        return "NUL" in str(cause)
    return isinstance(cause, _REFUSED)


def text_of(value: object) -> str:
    """Return ``str(value)``; of an object whose own fails, a text that says so.

    Others' classes of errors may do anything there, and must not keep a task from ending.
    """
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__qualname__}, whose str() raises {type(error).__name__}>"


def repr_of(value: Any) -> str:
    """Return ``repr(value)``; of an object whose own fails, a text that says so."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__qualname__}, whose repr() raises {type(error).__name__}>"
