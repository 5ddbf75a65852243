"""How each role is connected to the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.utils import load_backend

from .invariant import Finding, invariant


def database() -> dict[str, Any]:
    """Return the settings of the default database."""
    found: dict[str, Any] = settings.DATABASES[DEFAULT_DB_ALIAS]
    return found


def pool() -> dict[str, Any] | None:
    """Return the settings of the connection pool, ``None`` if there is none."""
    found = database().get("OPTIONS", {}).get("pool")
    return {} if found is True else found or None


@invariant(
    "proj.W051",
    "CONN_HEALTH_CHECKS where connections are kept (a pool, CONN_MAX_AGE)",
    "set CONN_HEALTH_CHECKS to True in DATABASES",
)
def kept_connections_are_checked() -> Iterator[Finding]:
    """Find connections that a restart of PostgreSQL breaks under the next that gets them."""
    kept = pool() is not None or database().get("CONN_MAX_AGE", 0) != 0
    if kept and not database().get("CONN_HEALTH_CHECKS"):
        yield (
            "CONN_HEALTH_CHECKS=False, and connections are kept: after a restart of PostgreSQL "
            "each of them fails one request or task.",
            "Set CONN_HEALTH_CHECKS to True in DATABASES.",
        )


@invariant(
    "proj.W052",
    "DATABASE_POOL_MAX_SIZE ≥ WEB_THREADS (role web)",
    "raise DATABASE_POOL_MAX_SIZE, or unset it: it then follows WEB_THREADS",
)
def every_thread_finds_a_connection() -> Iterator[Finding]:
    """Find a pool in which the threads of one process wait for each other."""
    if settings.ROLE != "web" or (options := pool()) is None:
        return
    size, threads = options.get("max_size") or options.get("min_size", 4), settings.WEB_THREADS
    if size < threads:
        yield (
            f"DATABASE_POOL_MAX_SIZE={size} is less than WEB_THREADS={threads}: under load, "
            "threads wait for each other's connections.",
            "Unset DATABASE_POOL_MAX_SIZE: it then follows WEB_THREADS.",
        )


@invariant(
    "proj.W053",
    "no pool in the roles worker and beat",
    "leave DATABASE_POOL_MAX_SIZE unset there; CELERY_DB_REUSE_MAX keeps connections",
)
def workers_have_no_pool() -> Iterator[Finding]:
    """Find a pool that Celery closes and opens again around every task (celery#10554)."""
    if settings.ROLE in {"worker", "beat"} and (options := pool()) is not None:
        yield (
            f"DATABASE_POOL_MAX_SIZE={options.get('max_size')} in a {settings.ROLE}: Celery closes "
            "the pool around every task, and each pays for new connections.",
            "Leave DATABASE_POOL_MAX_SIZE unset for workers and beat.",
        )


@invariant(
    "proj.E050",
    "the default database's ENGINE and `durable.database.postgresql`, or one that derives from it",
    "set ENGINE to `durable.database.postgresql`, or derive the other's DatabaseWrapper from it",
)
def the_engine_tells_an_outage() -> Iterator[Finding]:
    """Find an engine whose errors don't say that the database is away, which would fail tasks."""
    from durable.database.postgresql.base import DatabaseWrapper

    engine = database()["ENGINE"]
    if not issubclass(load_backend(engine).DatabaseWrapper, DatabaseWrapper):
        yield (
            f"ENGINE={engine}: a task that meets a restart of PostgreSQL fails, and a "
            "query that a soft time limit interrupts goes on in the server.",
            "Set ENGINE in DATABASES to durable.database.postgresql, or to an engine whose "
            "DatabaseWrapper derives from its.",
        )
