"""Doing something in the database again, on a new connection, until it works or time is up."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import psycopg
from django.db import Error, InterfaceError, OperationalError, connections

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: What a database raises that is away, restarts, is full or busy. Both: which one a broken
#: connection raises depends on who notices first, libpq or Django.
AWAY = (OperationalError, InterfaceError)

PAUSES = (0.05, 1.0)  # seconds: the first one, and the longest


def only_reads(error: BaseException) -> bool:
    """Return whether the server is a replica by now, after a failover; a new connection finds the
    other one, once the name leads there.
    """
    return isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction)


def is_away(error: BaseException) -> bool:
    """Return whether the database can't be used now, and nothing is wrong with what was asked."""
    return isinstance(error, AWAY) or only_reads(error)


def persist(call: Callable[[], T], seconds: float, aliases: Iterable[str]) -> T:
    """Return what *call* returns, tried again for *seconds* on new connections to *aliases*.

    Inside of a transaction there is one try only: what the transaction has done before is lost
    with its connection, and only its owner can do it again.

    :raises django.db.Error: the last try's.
    """
    end, pause, aliases = time.monotonic() + seconds, PAUSES[0], list(aliases)
    while True:
        try:
            return call()
        except Error as error:
            if not is_away(error):
                raise
            left = end - time.monotonic()
            if left <= 0 or any(connections[alias].in_atomic_block for alias in aliases):
                raise
            if pause == PAUSES[0]:
                logger.warning("a result must wait for the database: %s", error)
            for alias in aliases:
                connections[alias].close()
            # Not all workers of a site at the same moment.
            time.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311
            pause = min(2 * pause, PAUSES[1])
