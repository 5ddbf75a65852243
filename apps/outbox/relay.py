"""The relay: sends the rows that are due. Any number may run; each row is sent by one of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from django.db import Error as DatabaseError
from django.db import connections

from . import broker, conf, store
from .losses import Losses

logger = logging.getLogger(__name__)


class Relay:
    """Sends what is due, and makes due again what got lost."""

    PAUSE = 2.0  # seconds after a broker or a database that did not answer

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._losses = Losses()
        self._sweep_at = 0.0

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
        """Look for losses if it is time to, send one batch of what is due; return its size.

        :raises Exception: the database or the broker is away; nothing is lost by that.
        """
        if time.monotonic() >= self._sweep_at:
            self._losses.sweep()
            self._sweep_at = time.monotonic() + conf.get("HEARTBEAT")
        if rows := store.lease(conf.get("BATCH")):
            self.send(rows)
        return len(rows)

    def send(self, rows: Sequence[store.Row]) -> None:
        """Send *rows*; one that can't be sent must not hold up the others.

        :raises Exception: the broker is away; the rows are due again.
        """
        try:
            broker.publish(rows)
        except broker.connection_errors():
            store.give_back(rows)
            raise
        except Exception:
            for row in rows:
                self._send_alone(row)
        else:
            store.mark_sent(rows)

    def _send_alone(self, row: store.Row) -> None:
        try:
            broker.publish([row])
        except broker.connection_errors():
            store.give_back([row])
            raise
        except Exception as error:
            logger.exception("%s[%s] can't be sent", row.task, row.task_id)
            store.give_back([row], seconds=min(3600, 2**row.sends), error=f"not sent: {error!r}")
        else:
            store.mark_sent([row])
