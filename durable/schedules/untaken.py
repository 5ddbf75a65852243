"""A task without rows that did not reach the broker: whose fault was that?

The error doesn't say (see ``broker.answers()``). A task is wrong if it fails twice in
a row, on a new connection each, and the broker takes messages after each of the two: after a stall
that is over when it is asked, the second try succeeds.
"""

from __future__ import annotations

from celery.utils.log import get_logger

from . import broker
from .entry import Entry

logger = get_logger(__name__)

_SUSPECT = "the broker takes messages again"
_AWAY = "the broker can't be reached"


class Untaken:
    """The runs that could not be sent, and why, since each one's last success."""

    def __init__(self) -> None:
        self._why: dict[tuple[object, ...], str] = {}

    def taken(self, entry: Entry) -> None:
        """Note that this run was sent, or is given up."""
        self._why.pop(_run(entry), None)

    def suspected(self, entry: Entry) -> bool:
        """Return whether this run failed once by its own fault, so that the next time decides."""
        return self._why.get(_run(entry)) == _SUSPECT

    def is_wrong(self, entry: Entry, error: Exception) -> bool:
        """Return whether the entry is to blame for *error*, and not the broker or this process.

        Asks the broker, which takes seconds if that does not answer.
        """
        run = _run(entry)
        before = self._why.get(run)
        if impediment := broker.serialization_problem():
            why = impediment
            if why != before:
                logger.error("beat: %s is not sent, and waits: %s", entry.name, why)
        elif broker.answers():
            why = _SUSPECT
        else:
            why = _AWAY
            if why != before:
                logger.warning("beat: %s, and %s waits for it: %s", why, entry.name, error)
        self._why[run] = why
        return why == before == _SUSPECT


def _run(entry: Entry) -> tuple[object, ...]:
    return (entry.model.pk, *entry.stored)
