"""The fast path: the caller publishes right after its commit, and never fails or waits for long."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence

from . import broker, conf, store

logger = logging.getLogger(__name__)


class Breaker:
    """Open while the broker is away: callers then leave their rows to the relay at once.

    It closes when a thread of its own has reached the broker, so no request ever pays for trying.
    """

    PAUSE = 2.0  # seconds between two tries

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Close it; a child of ``fork()`` has no thread that would."""
        self._lock = threading.Lock()
        self._open = False
        self._wake = threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether callers should not even try."""
        return self._open

    def trip(self) -> None:
        """Open it, and start looking for the broker."""
        with self._lock:
            if self._open:
                return
            self._open = True
        try:
            threading.Thread(target=self._look, name="outbox-breaker", daemon=True).start()
        except RuntimeError as error:  # too many threads: nobody would ever close it
            self._open = False
            logger.warning("can't look for the broker: %s", error)

    def _look(self) -> None:
        while not self._wake.wait(self.PAUSE):
            try:
                with broker.connect() as connection:
                    connection.default_channel.close()
            except Exception as error:
                logger.debug("the broker is still away: %s", error)
            else:
                break
        self._open = False
        logger.info("the broker is back; tasks are published by their callers again")


breaker = Breaker()


def publish(rows: Sequence[store.Row]) -> None:
    """Publish *rows*, which have been committed; the relay gets what can't be. Never raises."""
    now, later = rows[: conf.get("PUBLISH_MAX")], rows[conf.get("PUBLISH_MAX") :]
    try:
        if breaker.is_open:
            now, later = [], rows
        if now:
            broker.publish(now)
    except Exception as error:
        breaker.trip()
        logger.warning("%d tasks are left to the relay: %s", len(rows), error)
        now, later = [], rows
    try:
        if now:
            store.mark_sent(now)
        if later:
            store.give_back(later)
    except Exception:
        # Their lease ends by itself; the relay then sends them.
        logger.warning("couldn't record what was published", exc_info=True)
