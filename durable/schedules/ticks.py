"""A tick: a task's row and the time of the run, in one transaction.

It either happened or it did not, whatever dies in between: the broker isn't needed, and two beats
can't both find the schedule's row as they know it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery.utils.log import get_logger
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router, transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from durable.database.text import text_of
from durable.journal import periodic, redaction
from durable.queue import conf as queue
from durable.queue.worker.task import DurableTask

from . import broker, conf
from .entry import Entry

logger = get_logger(__name__)

#: A beat that is frozen within the transaction must not lock the row for ever, nor may one that
#: waits for such a lock miss its own signs of life.
_BOUNDS = (
    "SELECT set_config('lock_timeout', '3s', true),"
    " set_config('idle_in_transaction_session_timeout', '5s', true)"
)


class NotTakenError(Exception):
    """A task without rows did not reach the broker: that is away, or the task is wrong."""


def commit(entry: Entry) -> bool:
    """Send the task of *entry*, whose model holds the time and the number of this run already.

    :return: ``False`` if nothing was sent: the database knows of a later run, or of a change that
        was not read yet, or the run was missed and is to be skipped.
    :raises django.db.Error: the database is away; whether the tick happened, its row will tell.
    :raises NotTakenError: a task without rows could not be sent.
    :raises Exception: the task can't be called like that.
    """
    alias = router.db_for_write(PeriodicTask)
    if queue.alias() != alias:
        raise ImproperlyConfigured(
            f"DATABASE_ROUTERS: periodic tasks are in {alias!r}, the tasks' rows in "
            f"{queue.alias()!r}; a tick is one transaction, so they must share a database"
        )
    model = entry.model
    with transaction.atomic(using=alias, durable=True):
        with connections[alias].cursor() as cursor:
            cursor.execute(_BOUNDS)
        skips = entry.repeats and not conf.get("RUN_MISSED")
        if skips and (late := entry.missed_by()) > conf.LATE:
            logger.warning("beat: %s was due %.0f s ago; it is skipped", entry.name, late)
            if entry.write(last_run_at=model.last_run_at):
                _missed(entry, late, f"due {late:.0f} s before beat came to it (BEAT_RUN_MISSED)")
            return False
        mine = entry.write(last_run_at=model.last_run_at, total_run_count=model.total_run_count)
        if mine:
            _send(entry)
        return mine


def pass_over(entry: Entry, error: Exception) -> None:
    """Note that a run was due which can't be sent, so that it isn't tried again until the next."""
    with transaction.atomic(using=queue.alias()):
        if entry.write(last_run_at=entry.model.last_run_at):
            _missed(entry, 0.0, redaction.clean(f"it can't be sent: {text_of(error)}"))


def _missed(entry: Entry, late: float, why: str) -> None:
    due_at = timezone.now() - timedelta(seconds=late)
    periodic.missed(entry.name, entry.task, entry.options.get("queue") or "", due_at, why)


def _send(entry: Entry) -> None:
    app, task = entry.app, entry.app.tasks.get(entry.task)
    args, kwargs = entry.args or [], entry.kwargs or {}
    headers = {**entry.options.get("headers", {}), "celery_beat_task": True}
    options: dict[str, Any] = {**entry.options, "headers": headers}
    if isinstance(task, DurableTask):
        task.apply_async_on_commit(args, kwargs, **options)
        return
    # A task of another project, which has no rows. Sent before the commit, for what is sent twice
    # after a crash is less bad than what is never sent.
    call = task.apply_async if task else lambda *a, **k: app.send_task(entry.task, *a, **k)
    timeout = conf.get("PUBLISH_TIMEOUT")
    try:
        with broker.producers().acquire(block=True, timeout=timeout) as producer:
            try:
                call(args, kwargs, producer=producer, retry=False, **options)
            except BaseException:
                # Half a reply may be left on the socket; a new connection has none.
                producer.connection.collect()
                raise
    except Exception as error:
        raise NotTakenError(text_of(error)) from error
