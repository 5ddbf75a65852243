"""The cache's table is written outside of the transaction that the caller is in.

A cache is outside of transactions wherever it isn't a table: a lock by ``cache.add()`` holds for
others at once, and so does progress by ``cache.set()``. Inside of a task's transaction the second
one that asks for the lock would wait for the first one's end, and the progress would not be seen.
So there the cache has a connection of its own; it is opened when it is needed.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from .postgresql.base import DatabaseWrapper

#: The alias of the connection beside the default one; in no settings.
BESIDE = "beside default"


class CacheRouter:
    """Leads ``DatabaseCache`` past a transaction; one of Django's ``DATABASE_ROUTERS``."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """Return the alias for the cache's table; ``None`` is any other table's."""
        if model._meta.app_label != "django_cache":
            return None
        connection = connections[DEFAULT_DB_ALIAS]
        if not isinstance(connection, DatabaseWrapper) or not connection.in_atomic_block:
            return DEFAULT_DB_ALIAS
        # A TestCase is a transaction that takes everything back, the cache as well.
        blocks: list[Any] = connection.atomic_blocks
        if any(block._from_testcase for block in blocks):
            return DEFAULT_DB_ALIAS
        connections[BESIDE] = connection.beside
        return BESIDE

    db_for_write = db_for_read
