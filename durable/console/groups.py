"""Failures that are of one kind: the same task, exception and place."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import NamedTuple

from django.db import connections

from durable.queue import conf as queue
from durable.queue import overview

#: The newest failures that are grouped; not those that were started again or discarded.
MOST = 10_000


class Group(NamedTuple):
    """Failures of one kind."""

    task: str
    error: str
    place: str
    times: int
    first: datetime
    last: datetime
    version: str
    id: int
    says: str

    @property
    def q(self) -> str:
        """The filter that finds them."""
        return shlex.join([
            f"task:={self.task}", "state:failed", f"error:={self.error}", f"place:={self.place}"
        ])  # fmt: skip


class Quarantined(NamedTuple):
    """Rows in quarantine of one kind: the same task and cause."""

    task: str
    error: str
    times: int

    @property
    def q(self) -> str:
        """The filter that finds them."""
        return shlex.join([f"task:={self.task}", "state:quarantined", f"error:={self.error}"])


_NEWEST = """SELECT task, error, place, count(*), min(ended_at), max(ended_at) AS last,
        (array_agg(version ORDER BY ended_at))[1], max(id), max(result)
    FROM (SELECT task, error, place, ended_at, version, id, result FROM durable_journal
        WHERE state IN ('FAILURE', 'REJECTED') AND replayed_at IS NULL
            AND discarded_at IS NULL
        ORDER BY ended_at DESC LIMIT %s) AS newest
    GROUP BY 1, 2, 3 ORDER BY last DESC LIMIT 200"""


def failures() -> list[Group]:
    """Return the groups, the newest first."""
    with connections[queue.alias()].cursor() as cursor:
        cursor.execute(_NEWEST, [MOST])
        return [
            Group(task, error or "", place or "", times, first, last, version, pk, says or "")
            for task, error, place, times, first, last, version, pk, says in cursor.fetchall()
        ]


def quarantined() -> list[Quarantined]:
    """Return the groups of the quarantine, the largest first."""
    return [Quarantined(*one) for one in overview.quarantined()]
