"""What the broker says of itself, for people and for `/metrics`."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from celery import current_app
from django.utils import timezone

from durable.database.asked import Asked, Since

#: Seconds that a page waits for the broker's answer, and that an answer is good for.
PATIENCE, KEEP = 0.5, 5.0


class State(NamedTuple):
    """The broker, as plain tasks need it."""

    #: ``ok``, ``away``, or ``none`` if there is none to be.
    state: str
    says: str
    memory: int
    limit: int
    #: Messages that it threw away for want of memory, since it started.
    evicted: int = 0
    #: When the server was started; of one that is away, when it was first found so.
    since: datetime | None = None
    #: Seconds until it had answered.
    took: float = 0.0


class Redis(NamedTuple):
    """What a Redis or Valkey server says of itself; a managed one may hide some of it."""

    #: With its version.
    name: str
    used: int
    #: maxmemory; 0: none.
    limit: int
    #: Messages that it threw away for want of memory, since it started.
    evicted: int
    policy: str
    #: Each message is written to a file; and whether the last write has failed.
    kept: bool
    failed: bool
    since: datetime

    @classmethod
    def of(cls, client: Any) -> Redis:
        """Ask a client of the server."""
        info = client.info()
        name = "Valkey" if "valkey_version" in info else "Redis"
        return cls(
            f"{name} {info.get('valkey_version') or info.get('redis_version', '')}",
            int(info.get("used_memory") or 0), int(info.get("maxmemory") or 0),
            int(info.get("evicted_keys") or 0), info.get("maxmemory_policy", "noeviction"),
            bool(info.get("aof_enabled")),
            "err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")),
            timezone.now() - timedelta(seconds=int(info.get("uptime_in_seconds") or 0)),
        )  # fmt: skip


def read() -> State:
    """Return the broker's last answer; one that is frozen is away."""
    answer, overdue = _asked.read()
    found = answer or State("ok", "", 0, 0)
    if overdue:
        found = State("away", f"no answer for {PATIENCE:g} s", 0, 0)
    since = _since.of(found.state)
    return found._replace(since=since) if found.state == "away" else found


def _ask_or_away() -> State:
    try:
        return _ask()
    except Exception as error:
        # No address in it: that holds a password.
        return State("away", type(error).__name__, 0, 0)


_asked = Asked(_ask_or_away, KEEP, PATIENCE)
_since = Since()


def _ask() -> State:
    if not current_app.conf.broker_url and not current_app.conf.broker_write_url:
        return State("none", "there is none: all tasks are rows", 0, 0)
    with current_app.connection_for_write(connect_timeout=2) as connection:
        if connection.transport_cls in ("memory", "filesystem"):
            return State("none", "there is none: all tasks are rows", 0, 0)
        connection.ensure_connection(max_retries=1, timeout=2)
        client: Any = getattr(connection.default_channel, "client", None)
        if client is None or not hasattr(client, "info"):
            return State("ok", connection.transport.driver_type, 0, 0)
        begin = time.monotonic()
        found = Redis.of(client)
        took = time.monotonic() - begin
        return State("ok", found.name, found.used, found.limit, found.evicted, found.since, took)
