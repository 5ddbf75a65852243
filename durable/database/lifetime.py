"""How long a connection lives: no longer than its thread, and not across a fork.

Django has one for each thread, and closes it at the end of a request; Celery at the end of a task.
A thread that these start has no such end: its connection stayed open until Python's garbage
collection came to it, and one of a pool was lost to the pool for ever. And after a fork two
processes would talk on one connection, and the pool's threads are in one of them only.
"""

from __future__ import annotations

import os
import threading
from collections.abc import MutableSet
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.signals import connection_created

#: What a child of a fork has from its parent, kept from being closed: that would tell the server.
_inherited: list[Any] = []


class _Opened:
    """The connections that a thread has opened; they are closed when it ends."""

    def __init__(self) -> None:
        # The main thread ends with the process, which closes what it has opened.
        self.is_main = threading.get_ident() == threading.main_thread().ident
        self.connections: MutableSet[BaseDatabaseWrapper] = WeakSet() if self.is_main else set()

    def __del__(self) -> None:
        for connection in () if self.is_main else self.connections:
            with suppress(Exception):  # the thread is over
                connection.close()


class _OfThisThread(threading.local):
    def __init__(self) -> None:
        self.opened = _Opened()


_of_this_thread = _OfThisThread()


def _remember(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    opened = _of_this_thread.opened.connections
    for each in list(opened):
        if each.connection is None:  # closed by now
            opened.discard(each)
    if not connection.allow_thread_sharing:
        opened.add(connection)


def close_all() -> None:
    """Close the connections of this thread, and the process' pools."""
    connections.close_all()
    for connection in connections.all(initialized_only=True):
        if isinstance(connection, DatabaseWrapper):
            connection.close_pool()


def _forget() -> None:
    for connection in list(_of_this_thread.opened.connections):
        _inherited.append(connection.connection)
        connection.connection = None
    pools: dict[str, Any] = DatabaseWrapper._connection_pools  # type: ignore[attr-defined]
    _inherited.extend(pools.values())
    pools.clear()


connection_created.connect(_remember, dispatch_uid="durable.database.lifetime")
os.register_at_fork(after_in_child=_forget)
