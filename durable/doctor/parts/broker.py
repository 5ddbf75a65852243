"""The broker: whether it answers; of Redis and Valkey, whether it keeps what it was given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from celery import current_app
from django.conf import settings

from durable.checks.facts import conf
from durable.schedules import broker, broker_state

from ..line import Level, Line, graded
from .database import clocks

#: Shares of maxmemory, beyond which it refuses what is sent (noeviction).
MEMORY = (0.8, 0.95)


def lines() -> Iterator[Line]:
    """Yield a line for each property that the server tells."""
    if getattr(settings, "DURABLE_DELAY", False) and not conf().broker_url:
        yield Line("broker", "", Level.OK, "none is used: every task is a row")
        return
    with broker.connect() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        client = getattr(connection.default_channel, "client", None)
        if connection.transport.driver_type != "redis" or client is None:
            yield Line("broker", "server", Level.OK, f"{connection.transport.driver_type} answers")
            return
        yield from of_redis(client)


def of_redis(client: Any) -> Iterator[Line]:
    """Yield the lines of a Redis or Valkey server; a managed one may hide some of it."""
    found, before = broker_state.Redis.of(client), time.time()
    seconds, micros = client.time()
    after = time.time()
    yield Line("broker", "server", Level.OK, f"{found.name}, {found.used / 1e6:,.1f} MB")
    yield clocks("broker", before, float(seconds) + float(micros) / 1e6, after)
    level = Level.FAIL if found.failed else Level.OK if found.kept else Level.WARN
    yield Line("broker", "persistence", level,
               "its last write to disk failed" if found.failed else "writes each message to its"
               " file" if found.kept else "appendonly is off: a restart loses plain messages",
               "make room on its disk" if found.failed else "set appendonly yes")  # fmt: skip
    keeps = found.policy == "noeviction"
    yield Line("broker", "policy", Level.OK if keeps else Level.FAIL, found.policy,
               "set maxmemory-policy noeviction: a full one throws messages away")  # fmt: skip
    if found.limit:
        share = found.used / found.limit
        yield Line("broker", "memory", graded(share, *MEMORY), f"{share:.0%} of maxmemory",
                   "raise maxmemory, or start workers: `celery -A "
                   f"{current_app.main} inspect active_queues`")  # fmt: skip
