"""Text that PostgreSQL can't hold: NUL, and half of a surrogate pair."""

from __future__ import annotations

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
