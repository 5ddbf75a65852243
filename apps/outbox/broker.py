"""Publishing rows as messages, on connections whose timeouts are short."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool
from kombu.utils.json import loads

from . import conf, store

_lock = threading.Lock()
_pool: ProducerPool | None = None

REDIS = ("redis", "rediss", "sentinel", "valkey", "valkeys")


def is_redis(connection: Any) -> bool:
    """Tell whether the broker speaks Redis' protocol."""
    return bool(connection.transport.driver_type == "redis")


def connect() -> Any:
    """Return an unconnected kombu connection that gives up after ``OUTBOX_PUBLISH_TIMEOUT``.

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
    headers = {**options.pop("headers", {}), conf.HEADER: [row.id, row.starts, row.at]}
    if row.queue:
        options["queue"] = row.queue
    current_app.send_task(
        row.task, args, kwargs,
        task_id=row.task_id, producer=producer, headers=headers, retry=False,
        add_to_parent=False, **options,
    )  # fmt: skip


def connection_errors() -> tuple[type[BaseException], ...]:
    """Return what a broker that is away raises, in contrast to a message that can't be sent."""
    connection = connect()
    return (
        OperationalError,
        OSError,
        *connection.recoverable_connection_errors,
        *connection.recoverable_channel_errors,
    )
