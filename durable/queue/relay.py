"""The relay: sends the rows that are due. Any number may run; each row is sent by one of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import connections

from durable.database.outage import lost_database

from . import broker, conf, expiry, store, unsent
from .losses import Losses

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Relay:
    """Sends what is due, and makes due again what got lost."""

    PAUSE = 2.0  # seconds after a broker or a database that did not answer

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._losses = Losses()
        self._sweep_at = 0.0
        self._more_expired = False

    def start(self) -> None:
        """Run in a thread, which ends with the process or by ``stop()``."""
        self._thread = threading.Thread(target=self.run, name="outbox-relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End ``run()``, and wait for the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join(30)

    def run(self) -> None:
        """Run until ``stop()``, whatever happens to the database and the broker."""
        while not self._stop.is_set():
            try:
                pause = 0.0 if self.run_once() else conf.get("POLL")
            except Exception as error:
                logger.warning("the relay pauses: %s: %s", type(error).__name__, error)
                if isinstance(error, DatabaseError):
                    self._losses.interrupted()
                connections[conf.alias()].close()
                pause = self.PAUSE
            self._stop.wait(pause)
        connections[conf.alias()].close()

    def run_once(self) -> int:
        """Look for losses if it is time to, send one batch of what is due.

        :return: how much was done; with nothing, the next look may wait.
        :raises Exception: the database or the broker is away; nothing is lost by that.
        """
        sweeps, expired = time.monotonic() >= self._sweep_at, 0
        if sweeps or self._more_expired:
            expired = attempt(expiry.revoke_expired) or 0
            self._more_expired = expired == conf.get("BATCH")
        if sweeps:
            attempt(self._losses.sweep)
            # Twice as often as a worker gives signs of life: the look itself adds to each recovery.
            self._sweep_at = time.monotonic() + conf.get("HEARTBEAT") / 2
        if rows := store.lease(conf.get("BATCH")):
            self.send(rows)
        return len(rows) + expired

    def send(self, rows: Sequence[store.Row]) -> None:
        """Send *rows*; one that can't be sent must not hold up the others.

        :raises Exception: the broker is away; the rows are due again.
        """
        try:
            broker.publish(rows)
        except Exception as error:
            if not broker.answers():
                store.give_back(rows)
                raise
            if len(rows) == 1:
                logger.exception("%s[%s] can't be sent", rows[0].task, rows[0].task_id)
                unsent.report(rows[0], error)
            else:
                self._send_in_halves(rows)
        else:
            store.mark_sent(rows)

    def _send_in_halves(self, rows: Sequence[store.Row]) -> None:
        """Send *rows*, of which some can't be sent, or whose connection had broken."""
        middle = len(rows) // 2
        try:
            self.send(rows[:middle])
        except Exception:  # it went away meanwhile: that is no row's fault
            store.give_back(rows[middle:])
            raise
        self.send(rows[middle:])


def attempt(look: Callable[[], T]) -> T | None:
    """Do what the relay does beside sending: if only that fails, the rows are sent all the same.

    :raises Exception: the database or the broker is away.
    """
    try:
        return look()
    except Exception as error:
        if lost_database(error, conf.alias()) or not broker.answers():
            raise
        logger.exception("the relay sends, but can't look for what was lost or has expired")
        return None
