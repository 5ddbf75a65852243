"""Ends what no worker does: rows of dead workers, tasks that expired before they began, and those
that no worker knows.

Every worker and every beat looks, one at a time: the others find the lock taken, and have nothing
to do.
"""

from __future__ import annotations

import logging
import threading
import time

from celery import current_app, states
from django.db import connections, transaction

from durable.database import locks
from durable.database.outage import lost_database
from durable.database.retry import is_away
from durable.database.text import repr_of
from durable.journal import minutes, redaction

from .. import conf, places, results, store
from ..models import Task
from . import quarantine

logger = logging.getLogger(__name__)

#: Seconds between two looks for tasks that no worker knows, and until their rows are in quarantine:
#: a roll-out has come to its end by then.
UNKNOWN_EVERY, UNKNOWN_AFTER = 60.0, 1800.0

_steady_since = _last = time.monotonic()
#: Of each queue and task that no worker knows: since when this process has seen that.
_unknown: dict[tuple[str, str], float] = {}
_unknown_at = 0.0


def sweep() -> int:
    """Look once; return how many rows were ended or let go.

    :raises Exception: the database is away; nothing is lost by that.
    """
    global _steady_since, _last
    now = time.monotonic()
    if now - _last > conf.get("DEAD_AFTER") - 1.5 * conf.get("HEARTBEAT"):
        # This process was frozen, or the database: the signs of life stood still as well, and the
        # last one of each worker was up to a heartbeat old by then.
        _steady_since = now
        _unknown.clear()
    _last = now
    count = quarantine_unknown() if now >= _unknown_at else 0
    # Each a transaction of its own: what keeps one row's end from being stored keeps no dead
    # worker's rows.
    steady = now - _steady_since > conf.get("DEAD_AFTER")
    for look in (let_go_of_dead, revoke_expired) if steady else (revoke_expired,):
        with transaction.atomic(using=conf.alias()):
            [(mine,)] = store.run("SELECT pg_try_advisory_xact_lock(%s)", [locks.JANITOR])
            if not mine:
                return count
            count += look()
    return count


def let_go_of_dead() -> int:
    """Let go of the rows of workers that are dead; return how many."""
    store.forget_dead_workers()
    age = {"age": conf.get("DEAD_AFTER")}
    return quarantine.release(store.ORPHANED, age, "the worker that ran it died")


def quarantine_unknown() -> int:
    """Quarantine rows of tasks that no living worker of their queue has known for long.

    Until then they keep their place. Every process looks for itself, and goes by what it has seen
    all the time: a worker that starts again in between is enough for them to wait on.
    """
    global _unknown, _unknown_at
    now = time.monotonic()
    _unknown_at = now + UNKNOWN_EVERY
    before, count = _unknown, 0
    known = store.known_tasks()  # not of a queue from which none takes, nor of what is paused
    waiting = store.first_tasks(known) | places.first_tasks(known)
    _unknown = {pair: before.get(pair, now) for pair in waiting if pair[1] not in known[pair[0]]}
    for (queue, task), since in _unknown.items():
        cure = (
            f"Start workers with that task for the queue {queue} (a module that was removed or "
            "renamed, or that CELERY_IMPORTS must name)"
        )
        if (queue, task) not in before:
            logger.warning(
                "no worker of the queue %s knows %s: its rows wait. %s", queue, task, cure
            )
        if now - since < UNKNOWN_AFTER:
            continue
        why = f"no worker knows it. {cure} and start it again; or discard it."
        with transaction.atomic(using=conf.alias()):
            for row_id, task_id in store.lock_ready(queue, task, UNKNOWN_AFTER, conf.BATCH):
                store.quarantine(row_id, why)
                quarantine.announce(row_id, task_id, task, why)
                logger.error("%s[%s] is in quarantine: %s", task, task_id, why)
                count += 1
    return count


def revoke_expired() -> int:
    """Delete what has expired and was not begun, and show it as REVOKED, as a worker would.

    ``BATCH`` rows at most, so that a long backlog that has expired holds up nothing. A row is
    deleted with its result: whatever breaks in between, it is still there to be revoked.
    """
    ids = store.lock_expired(conf.BATCH)
    over = []
    for row in Task.objects.using(conf.alias()).filter(pk__in=ids):
        with redaction.about(redaction.of_row(row)):
            try:
                _store_revoked(row)
                over.append((row.pk, results.end_of(row, states.REVOKED, "expired")))
            except _UnstorableError as error:
                # To a person: it must not hold up what has expired after it.
                why = redaction.clean(f"expired, but not revoked: {error}")[:500]
                store.quarantine(row.pk, why)
                quarantine.announce(row.pk, row.task_id, row.task, why)
                logger.error("%s is in quarantine: %s", row, why)
    if over:
        store.delete(over)
    return len(ids)


class _UnstorableError(Exception):
    """It is this row's fault that its end can't be stored."""


def _store_revoked(row: Task) -> None:
    try:
        request = results.context(row.task_id, row.task, row.headers, row.body)
    except Exception as error:
        raise _UnstorableError(f"its body can't be read: {repr_of(error)}") from error
    try:
        with transaction.atomic(using=conf.alias()):
            results.store_revoked(request, "expired", expired=True)
    except Exception as error:
        away = is_away(error) or lost_database(error, conf.alias())
        # Of another backend it can't be told apart.
        if away or not results.is_transactional(current_app.backend):
            raise
        raise _UnstorableError(repr_of(error)) from error


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
