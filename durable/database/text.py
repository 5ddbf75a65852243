"""Error texts as PostgreSQL can hold them."""

from __future__ import annotations


def storable(text: str) -> str:
    """Return *text* with what PostgreSQL's text can't hold written as an escape.

    That is NUL, and half of a surrogate pair (in file names that aren't UTF-8): an error that
    quotes one must not keep its task from ending.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
