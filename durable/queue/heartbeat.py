"""A worker's signs of life: that it runs, which messages it holds, and how far it has come.

A thread of the main process, with a database connection of its own: it must go on while the broker
is away, when the consumer and its timers don't.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from typing import Any
from weakref import WeakSet

from celery.worker import state
from django.db import connections, transaction
from psycopg.types.json import Jsonb

from durable.database import background

from . import conf, identity, quarantine, store
from .broker import lane

logger = logging.getLogger(__name__)

#: Seconds that a worker which stops waits for a database that is away, to sign off.
SIGN_OFF = 4.0

#: Why a start is given up whose process is well and has reported nothing.
UNWRITTEN = "its end could not be written down"


class Heartbeat:
    """Writes the worker's row every ``DURABLE_HEARTBEAT`` seconds, and ends starts that got lost."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lanes: dict[str, float] = {}
        self._requests: WeakSet[Any] = WeakSet()
        self._cancelled: set[int] = set()
        self._returned: set[int] = set()
        self._crashed: set[tuple[int, int]] = set()
        self._missed: set[tuple[int, int]] = set()

    def start(self) -> None:
        """Start the thread; once, however often the worker gets ready again."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="outbox-heartbeat", daemon=True)
            self._thread.start()
            # A cold shutdown sends no worker_shutdown; a pool's children leave by os._exit().
            atexit.register(self.stop)

    def received(self, request: Any) -> None:
        """Note a durable task's message that has arrived."""
        if header := request.request_dict.get(conf.HEADER):
            self._requests.add(request)
            if len(header) > 3:
                name = str(header[3])
            else:  # sent before the upgrade that began to name it
                info = request.delivery_info
                name = lane(info.get("routing_key"), info.get("priority"))
            self._lanes[name] = max(self._lanes.get(name, 0.0), float(header[2]))

    def cancelled(self, request: Any) -> None:
        """Note a durable task that the worker itself ends."""
        if header := request.request_dict.get(conf.HEADER):
            self._cancelled.add(int(header[0]))

    def returned(self, request: Any) -> None:
        """Note a durable task that has ended otherwise than by the death of its process."""
        if header := request.request_dict.get(conf.HEADER):
            self._returned.add(int(header[0]))

    def crashed(self, request: Any) -> None:
        """Note a durable task whose process has died under it.

        Its message goes back to the broker, and comes at once to be turned away, often to this very
        worker: that such a copy returns says nothing of how the start has ended.
        """
        if header := request.request_dict.get(conf.HEADER):
            self._crashed.add((int(header[0]), int(header[1]) + 1))

    def _run(self) -> None:
        while True:
            try:
                self.beat()
            except Exception as error:
                logger.warning("no heartbeat for the outbox: %s", error)
                connections[conf.alias()].close()
            if self._stop.wait(conf.get("HEARTBEAT")):
                return

    def beat(self) -> None:
        """Write the worker's row once; end the starts of this worker that nobody runs any more."""
        lanes = dict(self._lanes)
        [(now,)] = store.run(
            """INSERT INTO durable_worker (id, hostname, pid, held, lanes)
               VALUES (%(id)s, %(hostname)s, %(pid)s, %(held)s, %(lanes)s)
               ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(),
                   held = excluded.held, lanes = excluded.lanes
               RETURNING extract(epoch FROM clock_timestamp())::float8""",
            {
                "id": identity.worker_id(),
                "hostname": socket.gethostname(),
                "pid": os.getpid(),
                "held": sorted(self.held()),
                "lanes": Jsonb(lanes),
            },
        )
        # What was sent in the future was sent before the database's clock was set back; kept as the
        # latest, it would hide all that is sent from now on.
        for name, at in lanes.items():
            if at > now and self._lanes[name] == at:
                del self._lanes[name]
        # First what the table says, then what the worker holds: a start that ends in between is
        # in the first only, but its row is gone or has moved on, and the release finds nothing.
        returned, crashed = self._returned.copy(), self._crashed.copy()
        mine = store.run(
            "SELECT id, starts FROM durable_task WHERE worker = %s", [identity.worker_id()]
        )
        holding = self.held()
        missed = {(row_id, starts) for row_id, starts in mine if row_id not in holding}
        # Twice in a row: the main process may just be writing down how such a start has ended.
        lost = sorted(missed & self._missed)
        self._missed = missed
        ended = [row for row in lost if row[0] in self._cancelled]
        self._give_up(ended, "ended by its worker", reported=True)
        left = [
            row
            for row in lost
            if row not in ended and row[0] in returned and row not in self._crashed
        ]
        # It has waited too long for the database (see outage.py), or the reason isn't known: it
        # counts, or a task that does this each time would be started for ever.
        self._give_up(left, UNWRITTEN)
        died = [row for row in lost if row not in ended and row not in left]
        self._give_up(died, "the process that ran it died")
        self._cancelled -= {row_id for row_id, _ in ended}
        # What has returned and runs no more is finished.
        self._returned -= returned - {row_id for row_id, _ in missed}
        # Not until the start is given up: its copy may be held meanwhile, and it not be missed.
        self._crashed -= crashed - {(row_id, starts) for row_id, starts in mine}

    def _give_up(self, starts: list[tuple[int, int]], why: str, reported: bool = False) -> None:
        if starts:
            give_up(
                "(id, starts) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::int[]))",
                {"ids": [row[0] for row in starts], "tokens": [row[1] for row in starts]},
                why,
                reported,
            )

    def requests(self) -> list[Any]:
        """Return the requests of durable tasks that this worker knows."""
        for _ in range(100):
            try:
                return list({*self._requests, *state.active_requests})
            except RuntimeError:  # the event loop has changed a set meanwhile
                continue
        raise RuntimeError("the worker's list of requests never stands still")

    def held(self) -> set[int]:
        """Return the rows whose messages this worker holds: running, or waiting for a slot.

        Celery's own list of reserved requests leaves out rate limits, and is emptied when the
        broker's connection breaks, while the tasks go on.
        """
        found: set[int] = set()
        for request in self.requests():
            header = request.request_dict.get(conf.HEADER)
            running = request in state.active_requests
            if header and (running or not (request.acknowledged or request._already_cancelled)):
                found.add(int(header[0]))
        return found

    def header(self, task_id: str) -> Any:
        """Return what the message of a task said of its row."""
        for request in self.requests():
            if request.id == task_id and (header := request.request_dict.get(conf.HEADER)):
                return header
        return None

    def stop(self) -> None:
        """Hand back what was not finished: the worker has stopped, nothing runs here any more."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread:
            self._thread.join(SIGN_OFF)
        try:
            background.run(self._sign_off, SIGN_OFF, goes_on=False)
        except Exception as error:  # the relay will notice by the missing heartbeat
            logger.warning("couldn't hand back what this worker ran: %r", error)

    def _sign_off(self) -> None:
        mine = {"me": identity.worker_id()}
        store.run("DELETE FROM durable_worker WHERE id = %(me)s", mine)
        give_up("worker = %(me)s", mine, "its worker stopped", reported=True)


def give_up(where: str, params: dict[str, Any], why: str, reported: bool = False) -> int:
    """End the starts that *where* finds, and show the tasks that are in quarantine as failed.

    :param reported: the start was ended in order, and doesn't count towards the quarantine.

    :return: how many rows are sent again or in quarantine now.
    """
    with transaction.atomic(using=conf.alias()):
        released = store.release(where, params, why, reported)
        for row_id, task_id, task, quarantined in released:
            if quarantined:
                quarantine.announce(row_id, task_id, task, why)
    for _, task_id, task, quarantined in released:
        if quarantined:  # an error, for what collects errors to tell a person
            logger.error("%s[%s] is in quarantine: %s", task, task_id, why)
        else:
            logger.warning("%s[%s]: %s", task, task_id, why)
    return len(released)


heartbeat = Heartbeat()
