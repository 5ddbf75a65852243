"""Connections: does PostgreSQL let as many in as may come? It asks the server, so never at a start.

``manage.py check --deploy --database default`` runs it. How many replicas there are is known to
their orchestrator alone: WEB_REPLICAS, WORKER_REPLICAS and BEAT_REPLICAS tell it, one each without
them. WORKER_REPLICAS is what ``WORKERS`` is to compose.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from .facts import conf
from .invariant import Finding, invariant

#: Beside the pool of a web process: the connection of its readiness probe. Each thread may have one
#: beside the pool's, while it uses the cache inside of a transaction (durable/database/cache.py).
PROBE = 1
#: Of a slot of a worker: the task's, and the cache's inside of the task's transaction. Threads that
#: a task starts have one each, until they end; they are not known here.
SLOT = 2
#: Beside those of the slots, its main process': the rows' thread, a result that no child can store,
#: what ends at a time limit or by a person.
WORKER_PARENT = 3
#: The leader's session, the schedule, the janitor.
BEAT = 3


class Group(NamedTuple):
    """The connections of one role."""

    role: str
    replicas: int
    each: int
    made_of: str

    @property
    def total(self) -> int:
        """Return how many connections all of its replicas may hold at once."""
        return self.replicas * self.each


def groups() -> list[Group]:
    """Return what each role may hold."""
    # Any process can ask: the pool's size is worked out as in the settings, also outside of web.
    size = int(os.environ.get("DATABASE_POOL_MAX_SIZE") or settings.WEB_THREADS)
    processes = int(os.environ.get("WEB_CONCURRENCY") or 1)
    slots = conf().worker_concurrency or os.cpu_count() or 1
    slots = int(slots) if str(slots).isdecimal() else os.cpu_count() or 1
    return [
        Group(
            "web",
            settings.WEB_REPLICAS,
            processes * (size + settings.WEB_THREADS + PROBE),
            f"WEB_CONCURRENCY={processes} × (a pool of {size} + WEB_THREADS="
            f"{settings.WEB_THREADS} + {PROBE})",
        ),
        Group(
            "worker",
            settings.WORKER_REPLICAS,
            SLOT * slots + WORKER_PARENT,
            f"{SLOT} × CELERY_WORKER_CONCURRENCY={slots} + {WORKER_PARENT}",
        ),
        Group("beat", settings.BEAT_REPLICAS, BEAT, str(BEAT)),
    ]


def places() -> int:
    """Return how many connections the server leaves to users who are no superusers."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int"
            " - coalesce(current_setting('reserved_connections', true), '0')::int"
        )
        (found,) = cursor.fetchone()
    return int(found)


@invariant(
    "proj.W061",
    f"web replicas × processes × (pool + threads + {PROBE}) + worker replicas × ({SLOT} × slots + "
    f"{WORKER_PARENT}) + beats × {BEAT} ≤ `max_connections` less what PostgreSQL reserves",
    "raise `max_connections`, lower the numbers, or put a pooler between",
    asks_database=True,
)
def postgresql_has_a_place_for_everybody() -> Iterator[Finding]:
    """Find more connections than PostgreSQL takes; the last to come get an error."""
    needed = sum(group.total for group in groups())
    if needed > (allowed := places()):
        sums = "; ".join(f"{g.role}: {g.replicas} × ({g.made_of}) = {g.total}" for g in groups())
        yield (
            f"The roles may hold {needed} connections, and PostgreSQL leaves {allowed} "
            f"(max_connections less the reserved ones). {sums}.",
            "Raise max_connections, lower WEB_CONCURRENCY, WEB_THREADS or "
            "CELERY_WORKER_CONCURRENCY, or put a pooler between.",
        )
