"""One migration at a time: an advisory lock in PostgreSQL, held by a session.

Several pods of web start at once, and each one's first step is to migrate. Django takes no lock
(django#22997 and its like): two that create the same table at once fail. The lock belongs to a
session of its own, so it ends with the process, however that ends. When the machine is gone and
it is not closed, PostgreSQL's keepalives end it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.management.base import CommandError

from durable.database import locks
from durable.database.session import connect, reason, variable

from .progress import Progress

# Seconds until a client that is gone with its machine is noticed: 10 + 3 * 5.
_KEEPALIVES = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)


@contextmanager
def alone(progress: Progress) -> Iterator[psycopg.Connection[Any]]:
    """Wait for the database and for the lock; hold it until the block ends.

    :raises CommandError: the time of *progress* was over before; it says what was missing.
    """
    session: psycopg.Connection[Any] | None = None
    try:
        for _ in progress.rounds(pause=1):
            try:
                if session is None:
                    session = connect("proj-migrate-lock")
                    session.execute(_KEEPALIVES)
                if locks.take(session.cursor(), locks.MIGRATION):
                    break
                progress.wait(_who(session))
            except psycopg.Error as error:
                if session is not None:
                    session.close()
                    session = None
                progress.wait(f"the database: {reason(error)} ({variable()})")
        else:
            raise CommandError(
                f"gave up after {progress.seconds:.0f} s of waiting for {progress.last}"
            )
        yield session
    finally:
        if session is not None:
            session.close()


def _who(session: psycopg.Connection[Any]) -> str:
    holder = locks.holder(session.cursor(), locks.MIGRATION)
    if holder is None:
        return "another migration, which has just ended"
    return (
        f"another migration to end: {holder.name or 'a session'} at {holder.address} "
        f"(PostgreSQL's pid {holder.pid})"
    )
