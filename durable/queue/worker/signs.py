"""A worker's signs of life, the orders that it gets by them, and the rows that it has lost."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from .. import conf, store
from ..endings import quarantine

logger = logging.getLogger(__name__)

LOST = "its end could not be recorded"


class Signs:
    """The signs of life of one worker, of either kind.

    :param queues: returns the names of the queues that it takes from now.
    :param cancel: ends the task of a row that was cancelled, if it runs here.
    """

    def __init__(
        self, app: Any, queues: Callable[[], Iterable[str]], cancel: Callable[[int], None]
    ) -> None:
        self._app, self._queues, self._cancel = app, queues, cancel
        self._orders = store.Orders("", [])
        self._host = socket.gethostname()
        self.worker_id = f"{self._host[:40]}:{os.getpid()}:{uuid4().hex[:8]}"

    def give(self, slots: int) -> None:
        """Give one, and do what is wanted and was not done yet."""
        before, self._orders = self._orders, store.beat(
            self.worker_id, self._host, os.getpid(), slots, self._queues(), self._app.tasks
        )  # fmt: skip
        if self._orders.stop and not before.stop:
            logger.warning("told to stop by %s", self._orders.stop)
            os.kill(os.getpid(), signal.SIGTERM)  # as by a supervisor, which starts another one
        for row_id in self._orders.cancelled[len(before.cancelled) :]:
            self._cancel(row_id)


class Lost:
    """The rows of one worker whose processes have ended, or given up, without a word."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._before: set[tuple[int, int]] = set()
        self._outage_until = 0.0  # by then, what an outage has kept from being recorded is found

    def let_go(self, missed: set[tuple[int, int]], silence: float) -> None:
        """Let go of what is missed for the second time in a row.

        The first time, a process may just be recording how such an attempt has ended.

        :param missed: id and attempt of each.
        :param silence: seconds in which the database has not answered.
        """
        now = time.monotonic()
        if silence > conf.get("DEAD_AFTER"):
            self._outage_until = now + conf.get("DEAD_AFTER")
        lost, self._before = sorted(missed & self._before), missed
        if not lost:
            return
        if now < self._outage_until:  # no crash, but what may be the task's doing all the same
            for row in lost:
                quarantine.postpone_or_quarantine(*row, quarantine.OUTAGE, LOST, self._worker_id)
        ids, attempts = map(list, zip(*lost, strict=True))
        quarantine.release(
            "(id, attempt) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]))"
            " AND worker = %(me)s",
            {"ids": ids, "attempts": attempts, "me": self._worker_id},
            LOST,
        )
