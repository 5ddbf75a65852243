"""Ends what no worker does: rows of dead workers, and tasks that expired before they began.

Every worker and every beat looks, one at a time: the others find the lock taken, and have nothing
to do.
"""

from __future__ import annotations

import logging
import threading
import time

from celery import current_app, states
from django.db import connections, transaction

from durable.database.outage import lost_database
from durable.database.retry import is_away
from durable.database.text import repr_of
from durable.journal import entry, minutes

from .. import conf, results, store
from ..models import Task
from . import quarantine, revoked

logger = logging.getLogger(__name__)

#: The lock's number: this app's alone ("jani" in ASCII).
LOCK = 0x6A616E69

_steady_since = _last = time.monotonic()


def sweep() -> int:
    """Look once; return how many rows were ended or let go.

    :raises Exception: the database is away; nothing is lost by that.
    """
    global _steady_since, _last
    now = time.monotonic()
    if now - _last > conf.get("DEAD_AFTER") / 2 + conf.get("HEARTBEAT"):
        # This process was frozen, or the database: the signs of life stood still as well.
        _steady_since = now
    _last = now
    count = 0
    with transaction.atomic(using=conf.alias()):
        [(mine,)] = store.run("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not mine:
            return 0
        age = conf.get("DEAD_AFTER")
        if now - _steady_since > age:
            store.forget_dead_workers()
            count += quarantine.release(store.ORPHANED, {"age": age}, "the worker that ran it died")
        count += revoke_expired()
    return count


def revoke_expired() -> int:
    """Delete what has expired and was not begun, and show it as REVOKED, as a worker would.

    ``BATCH`` rows at most, so that a long backlog that has expired holds up nothing. A row is
    deleted with its result: whatever breaks in between, it is still there to be revoked.
    """
    ids = store.lock_expired(conf.BATCH)
    over = []
    for row in Task.objects.using(conf.alias()).filter(pk__in=ids):
        try:
            _store_revoked(row)
            call = results.call_of(row.body)
            over.append((row.pk, entry.failure(row.task, states.REVOKED, "expired", *call)))
        except _UnstorableError as error:
            # To a person: it must not hold up what has expired after it.
            why = f"expired, but not revoked: {error}"
            store.quarantine(row.pk, why)
            quarantine.announce(row.pk, row.task_id, row.task, why)
            logger.error("%s is in quarantine: %s", row, why)
    if over:
        store.delete([row_id for row_id, _ in over], over)
    return len(ids)


class _UnstorableError(Exception):
    """It is this row's fault that its end can't be stored."""


def _store_revoked(row: Task) -> None:
    try:
        request = results.context(row.task_id, row.task, row.headers, row.body)
    except Exception as error:
        raise _UnstorableError(f"its body can't be read: {repr_of(error)}"[:500]) from error
    try:
        with transaction.atomic(using=conf.alias()):
            revoked.store(request, "expired", expired=True)
    except Exception as error:
        away = is_away(error) or lost_database(error, conf.alias())
        # Of another backend it can't be told apart.
        if away or not results.is_transactional(current_app.backend):
            raise
        raise _UnstorableError(repr_of(error)[:500]) from error


class Janitor:
    """Looks every ``DURABLE_HEARTBEAT`` seconds, in a thread: in beat, which has no rows."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, which ends with the process or by ``stop()``."""
        self._thread = threading.Thread(target=self.run, name="durable-janitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End ``run()``, and wait for the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join(30)

    def run(self) -> None:
        """Run until ``stop()``, whatever happens to the database."""
        while not self._stop.is_set():
            try:
                again = sweep() >= conf.BATCH
                minutes.fold_once_a_minute()
            except Exception as error:
                again = False
                logger.warning("the janitor pauses: %s: %s", type(error).__name__, error)
                connections[conf.alias()].close()
            if not again:
                self._stop.wait(conf.get("HEARTBEAT"))
        connections[conf.alias()].close()
