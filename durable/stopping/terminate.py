"""Lets a person terminate a task: ``revoke(id, terminate=True)``, Flower, the admin."""

from __future__ import annotations

import signal
from typing import Any

from billiard.common import REMAP_SIGTERM, TERM_SIGNAL
from celery import bootsteps


class Terminate(bootsteps.StartStopStep):  # type: ignore[misc]
    """Sends a pool's process the signal that ends it.

    With ``REMAP_SIGTERM`` it ignores SIGTERM, and ends by that variable's signal. But Celery takes
    the signal of the process that asks, which has that variable only as a worker: the process would
    work on, while its task counts as revoked, and its slot is not free. Not in the request, since
    every task's comes to the pool, also those of Celery's own ``Task``.
    """

    label = "Terminate"
    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Take the place of the pool's ``terminate_job()``, which there is once it has started."""
        if not REMAP_SIGTERM:
            return
        pool = worker.pool
        terminate_job = pool.terminate_job

        def translated(pid: int, signum: int | None = None) -> Any:
            return terminate_job(pid, TERM_SIGNAL if signum == signal.SIGTERM else signum)

        pool.terminate_job = translated
