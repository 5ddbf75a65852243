"""The broker: whether it answers; of Redis and Valkey, whether it keeps what it was given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from celery import current_app
from django.conf import settings

from durable.checks.facts import conf
from durable.schedules import broker

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
    info, before = client.info(), time.time()
    seconds, micros = client.time()
    after = time.time()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version")
    yield Line("broker", "server", Level.OK, f"{name} {version}, {info['used_memory_human']}")
    yield clocks("broker", before, float(seconds) + float(micros) / 1e6, after)
    kept = bool(info.get("aof_enabled"))
    failed = "err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status"))
    yield Line("broker", "persistence", Level.FAIL if failed else Level.OK if kept else Level.WARN,
               "its last write to disk failed" if failed else "writes each message to its file"
               if kept else "appendonly is off: a restart loses plain messages",
               "make room on its disk" if failed else "set appendonly yes")  # fmt: skip
    policy = info.get("maxmemory_policy", "noeviction")
    yield Line("broker", "policy", Level.OK if policy == "noeviction" else Level.FAIL, policy,
               "set maxmemory-policy noeviction: a full one throws messages away")  # fmt: skip
    if most := info.get("maxmemory"):
        share = info["used_memory"] / most
        yield Line("broker", "memory", graded(share, *MEMORY), f"{share:.0%} of maxmemory",
                   "raise maxmemory, or start workers: `celery -A "
                   f"{current_app.main} inspect active_queues`")  # fmt: skip
