"""The step of the worker's blueprint: it takes the signal's place, and leads through the stop."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import Any

from billiard.common import REMAP_SIGTERM
from celery import bootsteps, platforms, signals
from celery.apps.worker import Worker
from celery.exceptions import WorkerTerminate
from celery.worker import state

from durable import upstream

from . import handback
from .drain import Drain
from .pools import Pool
from .watchdog import Watchdog

logger = logging.getLogger(__name__)

#: Seconds for a cancelled task to end by itself, and for a process that is to go.
UNWIND = 5.0
GONE = 3.0


class OrderlyStop(bootsteps.StartStopStep):  # type: ignore[misc]
    """Stops the worker as this package's docstring says."""

    label = "Orderly stop"
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.worker = worker
        self.timeout = float(worker.app.conf.worker_soft_shutdown_timeout)
        self.told = 0  # how often the worker was told to stop
        self.told_at = 0.0
        self.stopping = False
        self._pid = os.getpid()

    def include_if(self, worker: Any) -> bool:
        """Take part in the worker as a program; one inside of another program gets no signals."""
        wanted = isinstance(worker, Worker) and bool(worker.use_eventloop) and self.timeout > 0
        if wanted and (changed := upstream.changed("stopping")):
            logger.warning("the stop of this worker is Celery's own: %s", "; ".join(changed))
            return False
        return wanted

    def start(self, worker: Any) -> None:
        # Written by the signal handler, which may do little else: it may have interrupted what
        # holds the lock that it would wait for.
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self.pool = Pool(worker.pool)
        self._terminate, worker.terminate = worker.terminate, self.lead
        self.watchdog = Watchdog(worker, self.pool, self.timeout)
        self.watchdog.start()
        for name in ("SIGQUIT", "SIGTERM") if REMAP_SIGTERM == "SIGQUIT" else ("SIGQUIT",):
            platforms.signals[name] = self.on_signal

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Let the signal end the loop's waiting; done again with each broker connection."""
        hub.add_reader(self._wake_reader, self._woken)

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_reader, 64)

    def on_signal(self, signum: int, frame: Any) -> None:
        """Take note; Celery's loops raise ``WorkerTerminate`` where they are when they see it.

        :raises WorkerTerminate: a task runs in this very thread, and its time is over.
        """
        if os.getpid() != self._pid:  # a child that has just been forked
            return
        self.told += 1
        if self.told == 1:
            self.told_at = time.monotonic()
            platforms.signals["SIGINT"] = self.on_signal
            # 0 and not True: Celery treats a task's failure differently while this is true.
            state.should_terminate = 0
        self.watchdog.told(self.told)
        with suppress(BlockingIOError):
            os.write(self._wake_writer, b"\0")
        if self.told > 1 and self.pool.is_main_thread and not self.stopping:
            raise WorkerTerminate(0)

    def lead(self, in_sighandler: bool = False) -> None:
        """Stop the worker; in the place of ``WorkController.terminate()``.

        ``WorkController.start()`` calls it, outside of signal handlers and of the event loop.
        """
        if not self.told or self.stopping:
            self._terminate(in_sighandler)
            return
        self.stopping = True
        self.watchdog.main_thread_follows()
        signals.worker_shutting_down.send(
            sender=self.worker.hostname, sig="SIGTERM", how="Cold", exitcode=0
        )
        try:
            self._finish()
        except Exception:
            logger.exception("the worker's stop goes on without what has failed here")
        self._terminate()
        # A warm shutdown's own; Celery's cold one sends none.
        signals.worker_shutdown.send(sender=self.worker)
        if self.pool.running_threads():
            self.watchdog.exit(0)  # they can't be ended, and Python would wait for them
        logger.info("the worker has stopped, after %.1f s", time.monotonic() - self.told_at)

    def _finish(self) -> None:
        drain = Drain(self.worker)
        handback.stop_consuming(self.worker.consumer)
        handback.give_back(handback.withdraw(self.worker, self.pool))
        end = self.told_at + self.timeout
        idle_too = self.worker.app.conf.worker_enable_soft_shutdown_on_idle
        logger.info(
            "told to stop: %d tasks run, for up to %g s", len(handback.unfinished()), self.timeout
        )
        if self.pool.is_main_thread:
            end = 0.0  # what was to end has ended before this thread came here
        drain.until(
            lambda: self.told > 1 or not (idle_too or handback.unfinished()),
            end - time.monotonic(),
        )
        self.pool.shrink_to_nothing()
        if left := handback.cancel(self.worker):
            logger.warning("the time is over: %d tasks are handed back", len(left))
            if not drain.until(self.pool.has_no_jobs, UNWIND):
                self.pool.kill()
                drain.until(self.pool.has_no_jobs, GONE)
            handback.give_back(handback.still_held(left))
        self.pool.send_home()
        if not drain.until(self.pool.is_empty, GONE):
            self.pool.kill()
            drain.until(self.pool.is_empty, GONE)
        drain.turn()
