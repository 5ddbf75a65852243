"""The way back to the broker, for what a worker holds when it stops."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from celery.utils.threads import bound_open_broker_sockets
from celery.worker import state
from kombu.common import ignore_errors

from .event_loop import timer_entries
from .pools import Pool

logger = logging.getLogger(__name__)

#: Seconds that a broker gets for an answer when it is taken to be away.
BRIEFLY = 1.0


def stop_consuming(consumer: Any) -> None:
    """Take no more messages; one that is on its way goes back."""
    if consumer.task_consumer is None or consumer.connection is None:
        return
    consumer.task_consumer.on_message = lambda message: message.requeue()
    ignore_errors(consumer, consumer.task_consumer.cancel)
    if consumer.heart is not None and consumer.heart.tref is not None:
        # Its events are published with retries; the last one, that it goes, is sent without.
        consumer.timer.cancel(consumer.heart.tref)


def expect_no_answer(consumer: Any) -> None:
    """Wait only shortly for the broker from now on: it is away, or frozen."""
    if consumer.event_dispatcher is not None:
        consumer.event_dispatcher.enabled = False
    if consumer.connection is None:
        return
    bound_open_broker_sockets(consumer.connection, BRIEFLY)
    if not consumer.connection.connected:  # to ask for more would connect
        return
    for channel in list(getattr(consumer.connection.connection, "channels", None) or ()):
        if not hasattr(channel, "auto_delete_queues"):  # it isn't Redis
            continue
        channel.auto_delete_queues.clear()  # close() deletes each, and waits for it
        for connections in (channel.pool, channel.async_pool):  # what its new connections get
            connections.connection_kwargs |= {
                "socket_timeout": BRIEFLY, "socket_connect_timeout": BRIEFLY,
            }  # fmt: skip


def unfinished() -> list[Any]:
    """Return the requests that this worker has taken and not finished or handed back."""
    for _ in range(100):
        try:
            return list({*state.reserved_requests, *state.active_requests})
        except RuntimeError:  # a thread of the pool has changed a set meanwhile
            continue
    return list(state.requests.values())


def withdraw(worker: Any, pool: Pool) -> list[Any]:
    """Take back what the worker holds and has not begun; return the requests."""
    if worker.semaphore is not None:
        worker.semaphore.clear()
    waiting = [request for request in unfinished() if request not in state.active_requests]
    for bucket in worker.consumer.task_buckets.values():
        if bucket:
            waiting += [request for request, _ in bucket.contents]
            bucket.clear_pending()
    scheduled = {id(request): request for request in list(state.scheduled_requests)}
    for entry in timer_entries(worker.hub):
        if entry.args and id(entry.args[0]) in scheduled:  # it waits for its time
            worker.hub.timer.cancel(entry)
    waiting += scheduled.values()
    return [request for request in dict.fromkeys(waiting) if pool.withdraw(request)]


def cancel(worker: Any) -> list[Any]:
    """Cancel what runs; return the requests, which still hold their messages."""
    running = [r for r in unfinished() if r in state.active_requests]
    try:
        worker.consumer.cancel_active_requests()
    except NotImplementedError:  # threads can't be ended, and solo's task has been
        for request in running:
            request._already_cancelled = True
    return running


def still_held(requests: Iterable[Any]) -> list[Any]:
    """Return those of *requests* that did not finish and were not acknowledged."""
    return [
        request for request in requests if request._already_cancelled and not request.acknowledged
    ]


def give_back(requests: Iterable[Any]) -> None:
    """Put the messages of *requests* back into their queues, in front of what waits there."""
    count = 0
    for request in requests:
        message = request.message
        qos: Any = getattr(message.channel, "qos", None)
        try:
            if hasattr(qos, "restore_by_tag"):
                # What kombu's own reject() would put behind all that waits.
                qos.restore_by_tag(message.delivery_tag)
                qos.ack(message.delivery_tag)
            else:
                message.requeue()
        except Exception as error:
            # The broker is away. It delivers these again; rows go back without it.
            logger.warning("the broker takes no messages back: %s", error)
            break
        request.acknowledged = True
        state.task_ready(request)
        count += 1
    if count:
        logger.info("%d messages went back to the broker", count)
