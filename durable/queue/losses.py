"""How a lost message is noticed: by what the broker and the workers say, not by waiting.

A row is due again when the broker has forgotten messages, when the worker that ran it is dead, or
when its message was overtaken: a later one of its queue has arrived, and no worker holds it.
"""

# ruff: noqa: S608 - the conditions are constants here; every value is a parameter

from __future__ import annotations

import json
import logging
import time
from typing import Any

from django.db import connections

from . import broker, conf, store
from .broker import lane
from .heartbeat import give_up

logger = logging.getLogger(__name__)

#: A hash in the broker; one field for each database that sends through it.
MARKER = "outbox.marker"


class Losses:
    """Looks for losses; keeps what two looks in a row must agree on."""

    def __init__(self) -> None:
        self._steady_since = self._last = time.monotonic()
        self._earlier: list[tuple[float, dict[str, float]]] = []

    def interrupted(self) -> None:
        """The database was away: what the workers have said in it is out of date."""
        self._steady_since = time.monotonic()
        self._earlier.clear()

    def sweep(self) -> None:
        """Look once, and make due again what was lost."""
        now = time.monotonic()
        if now - self._last > conf.get("DEAD_AFTER") / 2 + conf.get("HEARTBEAT"):
            self.interrupted()  # frozen, or the database was: the heartbeats stood still as well
        self._last = now
        if now - self._steady_since > conf.get("DEAD_AFTER"):
            self.bury_workers()
        with broker.connect() as connection:
            if broker.is_redis(connection):
                self.look_for_marker(connection.default_channel.client)
            self.look_for_overtaken(connection)

    def bury_workers(self) -> None:
        """Send again what dead workers ran."""
        age = conf.get("DEAD_AFTER")
        store.run(
            "DELETE FROM durable_worker WHERE seen_at < clock_timestamp() - %s * interval '1 s'",
            [age],
        )
        give_up(
            "started_at < clock_timestamp() - %(age)s * interval '1 s'"
            " AND worker NOT IN (SELECT id FROM durable_worker)",
            {"age": age},
            "the worker that ran it died",
        )

    def look_for_marker(self, client: Any) -> None:
        """Notice a broker that was emptied, restarted, or went back to an old snapshot.

        The marker says when it was written, and by which run of the server. In another run, what
        was sent since may be gone; without a marker, everything.
        """
        settings = connections[conf.alias()].settings_dict
        field = f"{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
        run_id = client.info("server").get("run_id", "")
        found = client.hget(MARKER, field) or b""
        was, _, at = (found.decode() if isinstance(found, bytes) else found).partition(" ")
        [(now,)] = store.run("SELECT extract(epoch FROM clock_timestamp())::float8")
        if was != run_id or not at:
            # A second more: what was sent at the same moment.
            made_due(
                "sent_at >= to_timestamp(%s)",
                [float(at or 0) - 1],
                "the broker was restarted or emptied",
            )
        client.hset(MARKER, field, f"{run_id} {now}")

    def look_for_overtaken(self, connection: Any) -> None:
        """Send again what was sent before something that has arrived, and is nowhere.

        How far each queue has come must be known for longer than the workers need to say what they
        hold, or a message that has just arrived would count as lost.
        """
        old, now = 3 * conf.get("HEARTBEAT"), time.monotonic()
        self._earlier.append((now, self._progress(connection)))
        known = [lanes for at, lanes in self._earlier if at <= now - old]
        self._earlier = [entry for entry in self._earlier if entry[0] > now - old - 60]
        if not known:
            return
        for name, reached in known[-1].items():
            queue, _, priority = name.rpartition("/")
            # What has come further than the time was there before the clock was set back: every
            # message sent since would count as overtaken, and again each time it is sent.
            made_due(
                "queue = %s AND priority = %s AND sent_at < to_timestamp(%s)"
                " AND to_timestamp(%s) <= statement_timestamp() AND NOT id = ANY("
                "SELECT unnest(held) FROM durable_worker)",
                [queue, int(priority), reached, reached],
                "its message was overtaken",
            )

    def _progress(self, connection: Any) -> dict[str, float]:
        """Return for each queue when the latest message was sent that has arrived."""
        reached: dict[str, float] = {}
        for (lanes,) in store.run("SELECT lanes FROM durable_worker"):
            for name, at in json.loads(lanes).items():
                reached[name] = max(reached.get(name, 0.0), at)
        for queue, priority in waiting_lanes():
            [(now,)] = store.run("SELECT extract(epoch FROM clock_timestamp())::float8")
            made_due(
                "queue = %s AND priority = %s AND sent_at < to_timestamp(%s)",
                [queue, priority, now - conf.get("RESEND_AFTER")],
                "nothing was heard of it for long",
            )
            if queue and is_empty(connection, queue):
                reached[lane(queue, priority)] = now
        return reached


def waiting_lanes() -> list[tuple[str, int]]:
    """Return the queues and priorities in which rows wait, in as many steps in the index."""
    first = f"SELECT queue, priority FROM durable_task WHERE {store.WAITING}"
    return [
        (row[0], row[1])
        for row in store.run(
            f"""WITH RECURSIVE lanes AS (
                ({first} ORDER BY queue, priority LIMIT 1)
                UNION ALL
                SELECT following.* FROM lanes, LATERAL (
                    {first} AND (queue, priority) > (lanes.queue, lanes.priority)
                    ORDER BY queue, priority LIMIT 1) AS following)
            SELECT queue, priority FROM lanes"""
        )
    ]


def is_empty(connection: Any, queue: str) -> bool:
    """Tell whether nothing waits in *queue*: everything that was sent there has arrived.

    By its name alone: the settings may not know it any more.
    """
    channel = connection.default_channel
    try:
        declared = channel.queue_declare(queue=queue, passive=True)
    except connection.channel_errors:
        return True  # there is no such queue
    return bool(declared.message_count == 0)


def made_due(where: str, params: list[Any], why: str) -> int:
    """Make the waiting rows that *where* finds due again; return how many they are."""
    [(count,)] = store.run(
        f"""WITH due AS (
                UPDATE durable_task SET due_at = clock_timestamp() WHERE id IN (
                    SELECT id FROM durable_task WHERE {store.WAITING} AND {where}
                    ORDER BY id FOR UPDATE SKIP LOCKED)
                RETURNING 1)
            SELECT count(*) FROM due""",
        params,
    )
    if count:
        logger.warning("%d tasks are sent again: %s", count, why)
    return int(count)
