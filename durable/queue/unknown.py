"""A message that no task of the worker answers to: its row is tried again later, not for ever."""

from __future__ import annotations

import logging
from functools import partial
from json import loads
from typing import Any

from celery import bootsteps, signals
from django.db import transaction

from . import conf, quarantine, store, tries
from .receivers import beside_the_loop
from .unsent import MOST

logger = logging.getLogger(__name__)

WHAT = "not accepted by a worker"


class UnknownTasks(bootsteps.StartStopStep):  # type: ignore[misc]
    """Lets the consumer give the row of a task that it doesn't know back, instead of failing it.

    In a rolling update, workers of the version before get messages of tasks that are new. Celery
    stores FAILURE for these, which whoever waits for the result takes for its end, and only then
    sends ``task_unknown``: so this takes the place of the consumer's method.
    """

    label = "Unknown tasks"

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._otherwise = consumer.on_unknown_task
        self._undecoded = consumer.on_decode_error
        consumer.on_unknown_task = self.on_unknown_task
        consumer.on_decode_error = self.on_decode_error
        self._consumer = consumer

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Give the row of *message* back, if it has one."""
        if not _header(message):
            self._otherwise(body, message, exc)
            return
        give_back(message, f"{message.headers['task']} is unknown to it")
        message.ack_log_error(logger, self._consumer.connection_errors)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Give the row of *message* back too, if this worker lacks what decodes it.

        Celery drops such a message; the relay would send it again as lost, and never stop.
        """
        if _header(message):
            give_back(message, f"{exc!r}, so that it can't decode the message")
        self._undecoded(message, exc)


@signals.task_rejected.connect
def after_rejection(message: Any, exc: Exception | None, **kwargs: Any) -> None:
    """Give the row of a message back that Celery can't read; it has dropped that."""
    if _header(message):
        give_back(message, repr(exc))


def _header(message: Any) -> Any:
    return (message.headers or {}).get(conf.HEADER)


def give_back(message: Any, why: str) -> None:
    """Give the row of *message* back on the worker's event loop.

    Should it be in vain, the relay notices a message that was overtaken.
    """
    row_id, starts, sent, *_ = _header(message)
    try:
        beside_the_loop(partial(report, int(row_id), int(starts), float(sent), why))
    except Exception:
        logger.exception("couldn't give back %s", message.headers.get("id"))


def report(row_id: int, starts: int, sent: float, why: str) -> None:
    """Let the row be sent again, later each time, or put it into quarantine.

    :param starts, sent: what the message says; one that is late, or a copy, counts for nothing.
    """
    why = f"{WHAT}: {why}"[:500]
    with transaction.atomic(using=conf.alias()):
        found = store.run(
            """SELECT task_id, task, queue, history FROM durable_task
               WHERE id = %s AND starts = %s AND worker IS NULL AND quarantined_at IS NULL
               FOR UPDATE""",
            [row_id, starts],
        )
        if not found:
            return
        [(task_id, task, queue, stored)] = found
        history = loads(stored)
        times = 1 + tries.count(tries.lines(history), WHAT)
        if times > 1 and history[-1].get("sent") == sent:
            return
        # Whoever has sent it, and has not said so yet, must not take the pause away by that.
        store.run(
            "UPDATE durable_task SET sends = sends + 1 WHERE id = %s AND due_at IS NOT NULL",
            [row_id],
        )
        if times < MOST:
            pause = tries.postpone(row_id, why, times, sent=sent)
            logger.error("%s[%s] %s; it is sent again in %d s", task, task_id, why, pause)
            return
        quarantine.put(
            row_id, task_id, task,
            f"{why}. It was sent {times} times. Start workers with that task for the queue {queue} "
            "(a module that was removed or renamed, or that CELERY_IMPORTS must name) and start it "
            "again; or discard it.",
        )  # fmt: skip
