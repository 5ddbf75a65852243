"""Errors that are the database's absence, and not the failure of a task or a view."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import Error, connections

from .retry import is_away

#: Errors that a loop meets while its database is away.
ABSENCE = (Error, psycopg.Error, OSError)


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
    found = _chain(error, hidden=False)
    return any(getattr(one, "lost_database", None) == alias for one in found)


def is_conflict(error: BaseException | None) -> bool:
    """Return whether *error* comes from what another transaction has locked or written.

    PostgreSQL's class 40: a deadlock, a serialization failure. It may pass when done again.
    """
    found = _chain(error, hidden=True)
    return any((getattr(one, "sqlstate", None) or "").startswith("40") for one in found)


def _chain(error: BaseException | None, *, hidden: bool) -> Iterator[BaseException]:
    """Yield an error and what it comes from; with *hidden*, also behind a ``from None``."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        hides = error.__suppress_context__ and not hidden
        error = error.__cause__ or (None if hides else error.__context__)


class Outage:
    """A loop's database that may be away: it is said once, until the database answers again."""

    def __init__(self, alias: str, logger: logging.Logger) -> None:
        self._alias, self._logger = alias, logger
        self.lasts = False  # and was said

    @contextmanager
    def outlived(self, what: str, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Go on if the code inside fails; the next one gets a new connection.

        :param what: the log's words for that.
        :param but: errors that end the loop all the same.
        """
        try:
            yield
        except but:
            raise
        except Exception as error:
            if not self.lasts:
                self._logger.warning("%s: %s", what, error, exc_info=not isinstance(error, ABSENCE))
            self.lasts = True
            connections[self._alias].close()
        else:
            self.lasts = False
