"""Which errors are the database's absence, and not the task's failure."""

from __future__ import annotations


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
