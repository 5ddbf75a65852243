"""A worker's signs of life: it says that it is there, and learns what people want of it."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from .. import store

logger = logging.getLogger(__name__)


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
