"""Publishing rows as messages, on connections whose timeouts are short."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

from celery import current_app
from kombu.pools import ProducerPool
from kombu.utils.json import loads

from . import conf, encoding, store

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_pool: ProducerPool | None = None

#: A key in the broker (Redis) that is written to learn whether it takes anything.
PROBE = "outbox.probe"

REDIS = ("redis", "rediss", "sentinel", "valkey", "valkeys")


def is_redis(connection: Any) -> bool:
    """Tell whether the broker speaks Redis' protocol."""
    return bool(connection.transport.driver_type == "redis")


def lane(queue: str | None, priority: int | None) -> str:
    """Return the name of what is first in, first out in a broker: a queue at one priority."""
    return f"{queue or ''}/{priority or 0}"


def connect() -> Any:
    """Return an unconnected kombu connection that gives up after ``DURABLE_PUBLISH_TIMEOUT``.

    Half of it for each wait: one for a connection that has broken, one for a new one.
    """
    timeout = conf.get("PUBLISH_TIMEOUT") / 2
    options = dict(current_app.conf.broker_transport_options)
    # Celery retries a connection without end by default, and so does kombu.
    options |= {"max_retries": 0, "interval_start": 0}
    scheme = str(current_app.conf.broker_write_url or current_app.conf.broker_url)
    if scheme.startswith(REDIS):
        options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    elif scheme.startswith(("amqp", "pyamqp")):
        options |= {"read_timeout": timeout, "write_timeout": timeout}
    return current_app.connection_for_write(connect_timeout=timeout, transport_options=options)


def producers() -> ProducerPool:
    """Return this process' pool of producers."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ProducerPool(connect().Pool(limit=16), limit=16)
        return _pool


def _forget() -> None:
    # A child of fork() must not share its parent's sockets.
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def publish(rows: Sequence[store.Row]) -> None:
    """Send the messages of *rows*, in one round trip where the transport can.

    :raises Exception: some of them may not have been sent; all can be sent again.
    """
    pool = producers()
    with pool.acquire(block=True, timeout=conf.get("PUBLISH_TIMEOUT")) as producer:
        try:
            with producer.batch():
                for row in rows:
                    send(row, producer)
        except BaseException:
            # Half a reply may be left on the socket; a new connection has none.
            producer.connection.collect()
            raise


def send(row: store.Row, producer: Any) -> None:
    """Send one message through *producer*."""
    args, kwargs, options = loads(row.body)
    # The lane as the row has it: a worker sees the routing key only, which may be another name.
    header = [row.id, row.starts, row.at, lane(row.queue, row.priority)]
    headers = {**options.pop("headers", {}), conf.HEADER: header}
    if row.queue:
        options["queue"] = row.queue
    current_app.send_task(
        row.task, tuple(args), kwargs,  # which is how Celery shows them
        task_id=row.task_id, producer=producer, headers=headers, retry=False,
        add_to_parent=False, **options,
    )  # fmt: skip


def answers() -> bool:
    """Tell whether the broker takes messages and this process can make some, after one failed.

    Asked on a new connection, and by writing: one that is full, a replica, or still loading its
    data answers too, and refuses every message. No error says that by itself: kombu counts
    ``KeyError`` and every refusal of Redis among the losses of the connection.
    """
    if why := encoding.impediment():
        logger.error("nothing is sent: %s", why)
        return False
    try:
        with connect() as connection:
            channel = connection.default_channel
            if is_redis(connection):
                channel.client.set(PROBE, 1, ex=60)
    except Exception as error:
        logger.debug("the broker takes nothing: %r", error)
        return False
    return True
