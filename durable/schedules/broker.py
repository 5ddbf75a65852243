"""The broker, as far as beat must know it: for tasks of other projects, which have no rows."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from celery import current_app
from kombu import compression, serialization
from kombu.pools import ProducerPool

from . import conf

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_pool: ProducerPool | None = None

#: A key in the broker (Redis) that is written to learn whether it takes anything.
PROBE = "durable.probe"

REDIS = ("redis", "rediss", "sentinel", "valkey", "valkeys")


def connect() -> Any:
    """Return an unconnected kombu connection that gives up after ``BEAT_PUBLISH_TIMEOUT``.

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


def answers() -> bool:
    """Return whether the broker takes messages and this process can make some, after one failed.

    Asked on a new connection, and by writing: one that is full, a replica, or still loading its
    data answers too, and refuses every message. No error says that by itself: kombu counts
    ``KeyError`` and every refusal of Redis among the losses of the connection.
    """
    if why := serialization_problem():
        logger.error("nothing is sent: %s", why)
        return False
    try:
        with connect() as connection:
            channel = connection.default_channel
            if connection.transport.driver_type == "redis":
                channel.client.set(PROBE, 1, ex=60)
    except Exception as error:
        logger.debug("the broker takes nothing: %r", error)
        return False
    return True


def serialization_problem() -> str | None:
    """Return why no message at all can be encoded here, and what to change; ``None`` if one can.

    What a single row asks for (its own ``compression=``) is that row's matter.
    """
    settings = current_app.conf
    name, value = "CELERY_TASK_SERIALIZER", settings.task_serializer
    try:
        body = serialization.dumps([[], {}, {}], serializer=value)[2]
        if settings.task_compression:
            name, value = "CELERY_TASK_COMPRESSION", settings.task_compression
            compression.compress(body, value)
    except Exception as error:
        return (
            f"{name}={value} can't be used here ({error!r}), so that no message can be sent: "
            "install its library in this role, or change the setting"
        )
    return None
