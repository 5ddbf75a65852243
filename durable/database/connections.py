"""A worker keeps its database connection over many tasks, and drops one that broke.

Celery closes Django's connection before and after every task (its Django fixup, celery#10554
makes it the pool as well), so each task pays for a new one. ``CELERY_DB_REUSE_MAX`` keeps it;
but then a connection that PostgreSQL closed meanwhile fails every task that gets it. Django's own
answer at the start and end of a request, ``close_old_connections()``, is the right one for a task
too: it closes what had an error, and asks an idle connection whether it still answers
(``CONN_HEALTH_CHECKS``) before the next query.
"""

from __future__ import annotations

from typing import Any

from celery.signals import task_postrun, task_prerun
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper


def drop_broken_connections(sender: Any = None, **kwargs: Any) -> None:
    """Close connections that broke or are too old; not in an eager task, which shares its caller's.

    :param sender: the task that is about to run or has run.
    """
    if sender.request.is_eager:
        return
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:  # of a batch, which its tasks share
            continue
        # That it answers is not enough: after a failover a replica does so too.
        if connection.errors_occurred and _only_reads(connection):
            connection.close()
        connection.close_if_unusable_or_obsolete()  # what close_old_connections() does


def _only_reads(connection: BaseDatabaseWrapper) -> bool:
    if connection.connection is None or connection.vendor != "postgresql":
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")  # on in a replica, whatever was set
            return bool(cursor.fetchone() == ("on",))
    except Error:
        return True


def install() -> None:
    """Connect to the start and the end of every task."""
    task_prerun.connect(drop_broken_connections, dispatch_uid="durable.database.connections.prerun")
    task_postrun.connect(
        drop_broken_connections, dispatch_uid="durable.database.connections.postrun"
    )
