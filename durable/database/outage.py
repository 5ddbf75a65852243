"""Errors that are the database's absence, and not the failure of a task or a view."""

from __future__ import annotations

from .retry import is_away


def is_outage(error: BaseException) -> bool:
    """Return whether *error* is the absence of any database, and no fault of the query's.

    A deadlock, a lock or a statement that took too long are the query's. The errors of another
    database engine don't say (see postgresql/errors.py), and count as absence.
    """
    if hasattr(error, "lost_database"):
        return error.lost_database is not None
    return is_away(error)


def lost_database(error: BaseException | None, alias: str) -> bool:
    """Return whether *error*, or what it comes from, is the database *alias*, away or full.

    Each error of a database knows that (see postgresql/errors.py). What a task has raised ``from
    None`` in the place of such an error is the task's own.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if getattr(error, "lost_database", None) == alias:
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
