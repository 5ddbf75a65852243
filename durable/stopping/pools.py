"""The kinds of pools: what they have in common when a worker stops, and what not."""

from __future__ import annotations

import logging
import signal
from typing import Any

from celery.concurrency import prefork, solo, thread

logger = logging.getLogger(__name__)


class Pool:
    """A worker's pool, as far as its stop is concerned.

    It looks into billiard's pool of processes, which has no public way to ask; every attribute it
    uses is covered by the tests of a real worker (``tests/test_worker_stop.py``).
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        #: Tasks run in the thread that the signal interrupts.
        self.is_main_thread = isinstance(pool, solo.TaskPool)

    @property
    def _processes(self) -> Any:
        return self._pool._pool if isinstance(self._pool, prefork.TaskPool) else None

    def notice_exits_at_once(self, hub: Any) -> None:
        """Look again for a process that has just closed its files.

        Celery's pool looks once at that moment, in which the process mostly can't be waited for
        yet, and then every 5 s: so long its task would have no process, and the slot no task.
        """
        pool = self._processes
        if not pool or hub is None:
            return
        celerys = pool._event_process_exit

        def look(process: Any, times: int) -> None:
            if process.pid in self._pids() and times:
                pool.maintain_pool()
                hub.call_later(0.1, look, process, times - 1)

        def exited(the_hub: Any, process: Any) -> None:
            celerys(the_hub, process)
            look(process, 50)

        pool._event_process_exit = exited

    def _pids(self) -> list[int]:
        """Return the processes that there are."""
        return list(self._pool.info["processes"]) if self._processes else []

    def withdraw(self, request: Any) -> bool:
        """Take back a task that was not begun; return whether that could be done."""
        if request._apply_result is None:
            return True  # it waits for a slot, a rate limit, its time
        job = request._apply_result()
        if job is None:
            return False  # it has just ended
        if isinstance(self._pool, thread.TaskPool):
            return bool(job.f.cancel())
        if self._processes and job in self._processes.outbound_buffer:
            self._processes.outbound_buffer.remove(job)
            job.discard()
            return True
        return False  # written to a process, which may have begun by now

    def shrink_to_nothing(self) -> None:
        """Start no process any more in the place of one that ends."""
        if self._processes:
            self._processes._processes = 0

    def has_no_jobs(self) -> bool:
        """Return whether each task that was begun has ended, or its process has."""
        return not self._processes or not self._processes._cache

    def is_empty(self) -> bool:
        """Take note of processes that have ended; return whether there is none any more."""
        if self._processes:
            self._processes.maintain_pool()
        return not self._pids()

    def send_home(self) -> None:
        """Let the processes end when they have nothing to do."""
        if self._processes:
            self._processes._stop_task_handler(self._processes._task_handler)

    def kill(self) -> None:
        """End the processes that are left by SIGKILL."""
        for pid in self._pids():
            logger.warning("process %s does not end, and is killed", pid)
            self._pool.terminate_job(pid, signal.SIGKILL)

    def running_threads(self) -> int:
        """Return how many tasks run in threads."""
        if not isinstance(self._pool, thread.TaskPool):
            return 0
        executor = self._pool.executor
        return int(len(executor._threads) - executor._idle_semaphore._value)
