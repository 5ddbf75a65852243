"""The worker's heartbeat: it beats while the worker serves durable tasks and the broker's.

A broker that is away stops the messages and not the rows, so the heart goes on beating then; a
database that is away stops the rows. The heartbeat runs on the event loop: one that hangs doesn't
beat.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import bootsteps

from durable import upstream
from durable.queue import conf as queue

from .heartbeat import HeartbeatFile

logger = logging.getLogger(__name__)

#: Seconds between two looks. The redis transport asks for messages about once a second.
INTERVAL = 1.0

#: Seconds after which a request for messages that had no answer is no sign of life any more: a
#: server that has none says so after `brpop_timeout`, one second by default.
FETCH_AGE = 5.0

#: Seconds after which an answer of the database is none any more; the rows' thread asks it every
#: ``DURABLE_HEARTBEAT`` seconds at least.
ROWS_AGE = 5.0


def serving_rows(worker: Any) -> bool:
    """Return whether the worker takes durable tasks, or isn't one that does."""
    rows = getattr(worker, "durable_rows", None)
    age = ROWS_AGE + float(queue.get("HEARTBEAT"))
    return rows is None or time.monotonic() - rows.seen_at < age


def waits_for_broker(consumer: Any) -> bool:
    """Return whether the worker has no connection and tries to make one, beside the rows."""
    rows = getattr(consumer.controller, "durable_rows", None)
    return consumer.connection is None and rows is not None and not rows.stopping


def consuming(consumer: Any) -> bool:
    """Return whether the worker takes messages, or has its hands full.

    :param consumer: Celery's ``celery.worker.consumer.Consumer``.
    """
    connection, tasks = consumer.connection, consumer.task_consumer
    if connection is None or tasks is None or not connection.connected:
        return False
    if not tasks.queues or not any(tasks.consuming_from(queue) for queue in list(tasks.queues)):
        return False  # all cancelled, `celery control cancel_consumer` or a shutdown
    channel = tasks.channel
    if not hasattr(channel, "_brpop_sent_at"):
        return True  # the broker pushes (AMQP), and has accepted the consumer; or see __init__()
    if not channel.qos.can_consume():
        return True  # as many unacknowledged messages as it may hold: its slots are full
    # kombu notes when it last issued BRPOP, by the monotonic clock, to find dead connections.
    waits = FETCH_AGE + (channel.brpop_timeout or 0)
    sent_at: float | None = channel._brpop_sent_at
    return sent_at is not None and time.monotonic() - sent_at < waits


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Touches the worker's heartbeat every second for as long as it serves all that it can.

    With ``--pool solo`` the tasks run on the event loop itself, so that one which takes longer than
    ``HEARTBEAT_MAX_AGE`` seconds looks like a hang; the other pools keep them apart.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self.file = HeartbeatFile("worker")
        if changed := upstream.changed("health"):
            logger.warning(
                "the heartbeat shows that the worker is connected, and no longer that it asks "
                "Redis for messages: %s",
                "; ".join(changed),
            )
        self.file.remove()
        # Before the first connection, and so for all of them: what is added later goes with the
        # connection (celery#7844).
        self.timer_entry = consumer.timer.call_repeatedly(INTERVAL, self.beat, (consumer,))

    def beat(self, consumer: Any) -> None:
        """Touch the file if the worker serves what it can."""
        if not serving_rows(consumer.controller):
            return
        if waits_for_broker(consumer):
            self.file.touch("rows")
        elif consuming(consumer):
            self.file.touch()

    def shutdown(self, consumer: Any) -> None:
        self.timer_entry.cancel()
