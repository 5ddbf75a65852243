"""The main process of a batch worker: it runs no task, and sees to those that do."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from celery import signals, states
from celery.app import trace
from celery.exceptions import TimeLimitExceeded
from django.conf import settings
from django.db import connections, transaction

from durable.database.outage import Outage
from durable.health.heartbeat import HeartbeatFile
from durable.journal import redaction

from .. import conf, results, store
from ..endings import janitor, quarantine
from ..models import Task as Row
from ..worker.signs import Signs
from .process import Process, Slot

logger = logging.getLogger("celery.worker.batch")

#: Seconds between two looks at the processes.
TURN = 0.25
#: Seconds without a look for rows after which an idle process counts as hanging.
SILENT = 15.0


@dataclass
class Child:
    """A process of the worker, alive until ``status`` is its exit status."""

    slot: Slot
    worker: str = ""
    pid: int = 0
    status: int | None = None


class Supervisor:
    """Starts the processes, and another one for each that ends."""

    #: Of another worker's application, Celery's fixup for Django keeps away: at a task's end it
    #: would close the connection (celery#10554), and with it the transaction of the batch.
    app = "a batch worker"

    def __init__(self, app: Any, batch: int, concurrency: int, queues: list[str]) -> None:
        self.celery, self.batch, self.concurrency, self.queues = app, batch, concurrency, queues
        self.hostname = f"batch@{socket.gethostname()}"
        self._signs = Signs(app, lambda: queues, self._cancel)
        self.worker_id = self._signs.worker_id
        self._children = [Child(slot) for slot in Slot.several(concurrency)]
        self._left: dict[str, int] = {}  # what processes that are gone have left: name, running row
        self._told = self._count = 0
        self._file = HeartbeatFile("worker", settings.HEARTBEAT_MAX_AGE)
        self._signed_at = 0.0
        self._outage = Outage(conf.alias(), logger)

    def run(self) -> int:
        """Serve rows until told to stop; return the exit status.

        :raises ConfigurationError: the settings would lose or double work.
        """
        self.celery.loader.init_worker()
        trace.setup_worker_optimizations(self.celery, self.hostname)
        signals.worker_init.send(sender=self)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
            signal.signal(number, self._tell)
        self._file.remove()
        self._sign()
        for child in self._children:
            self._start(child)
        signals.worker_ready.send(sender=self)
        logger.info(
            "%s ready. %d processes, batches of %d, queues %s",
            self.hostname, self.concurrency, self.batch, ", ".join(self.queues),
        )  # fmt: skip
        if limited := sorted(name for name, task in self.celery.tasks.items() if task.rate_limit):
            logger.warning("rate_limit has no effect in a batch worker: %s", ", ".join(limited))
        while not self._told:
            self._turn()
            now = time.monotonic()
            if all(c.slot.running or now - c.slot.seen_at < SILENT for c in self._children):
                self._file.touch()
            time.sleep(TURN)
        self._stop()
        return 0

    def _tell(self, *args: Any) -> None:
        self._told += 1

    # --- Processes -------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        self._count += 1
        child.worker, child.status = f"{self.worker_id}#{self._count}", None
        child.slot.idle()
        connections.close_all()  # no two processes may share one
        child.pid = os.fork()
        if child.pid:
            return
        status = 1
        try:
            Process(
                self.celery, child.worker, self.hostname, child.slot, self.queues, self.batch
            ).run()
            status = 0
        except BaseException:
            logger.exception("a process of the batch worker ends")
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)

    def _turn(self) -> None:
        """Look after each process once, and give a sign of life every second."""
        for child in self._children:
            if child.status is None and self._has_ended(child):
                say = logger.warning if child.status else logger.info
                say("process %d ended with status %s", child.pid, child.status)
                self._left[child.worker] = child.slot.row_id if child.slot.running else 0
                self._release()
            elif child.status is None and (limit := child.slot.over):
                self._end_task(child, limit)
            if child.status is not None and not self._told:
                self._start(child)
        if time.monotonic() - self._signed_at >= 1.0:
            self._sign()

    def _has_ended(self, child: Child, options: int = os.WNOHANG) -> bool:
        pid, status = os.waitpid(child.pid, options)
        if pid:
            child.status = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def _kill(self, child: Child) -> None:
        os.kill(child.pid, signal.SIGKILL)
        self._has_ended(child, 0)
        self._left[child.worker] = 0

    def _release(self) -> None:
        """Let go of the rows of processes that are gone: it counts for the one that ran.

        Until none is left: its connection may outlive a process, and what that has locked.
        """
        with self._outage.outlived("what a process has left is not let go, and tried again"):
            for worker, row_id in list(self._left.items()):
                mine = {"me": worker, "id": row_id}
                why = "the process that ran it died"
                quarantine.release("worker = %(me)s AND id = %(id)s", mine, why)
                why = "its batch was rolled back"
                quarantine.release("worker = %(me)s AND id <> %(id)s", mine, why, clean=True)
                if not store.of_worker(worker):
                    del self._left[worker]

    def _end_task(self, child: Child, limit: float) -> None:
        """End a task that has exceeded its hard time limit, as Celery does."""
        running = child.slot.running
        self._kill(child)
        if running and child.slot.running == running:
            with redaction.about():  # _fail() says whom
                try:
                    self._fail(*running, limit)
                except Exception as error:
                    logger.exception("couldn't store that a task exceeded its time limit")
                    connections[conf.alias()].close()
                    with self._outage.outlived("that could not be counted, its attempt goes back"):
                        quarantine.count_unrecorded(*running, error)
        self._release()

    def _fail(self, row_id: int, attempt: int, limit: float) -> None:
        error = TimeLimitExceeded(limit)
        with transaction.atomic(using=conf.alias()):
            row = Row.objects.using(conf.alias()).select_for_update().filter(pk=row_id).first()
            if row is None or row.attempt != attempt:
                return
            redaction.told.set((redaction.of_row(row),))
            task = self.celery.tasks[row.task]
            logger.error("Hard time limit (%ss) exceeded for %s[%s]", limit, row.task, row.task_id)
            request = results.store_failure(task, row, error)
            quarantine.schedule_on_failure(row_id, error)
            how = results.end_of(row, states.FAILURE, error)
            store.finish([(row_id, attempt)], end=how)
        results.send_failed(task, request, error)

    def _sign(self) -> None:
        self._signed_at = time.monotonic()
        with self._outage.outlived("no sign of life"):
            self._signs.give(self.concurrency)
            janitor.sweep()
        if self._left:
            self._release()

    def _cancel(self, row_id: int) -> None:
        for child in self._children:
            if child.status is None and child.slot.running and child.slot.row_id == row_id:
                logger.warning("process %d is ended: its task was cancelled", child.pid)
                self._kill(child)

    # --- The stop --------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Let tasks end for a while, then end their processes; all else goes back."""
        seconds = float(self.celery.conf.worker_soft_shutdown_timeout or 0)
        began, told = time.monotonic(), self._told
        logger.info("told to stop: what runs may run on for %g s", seconds)
        signals.worker_shutting_down.send(
            sender=self.hostname, sig="SIGTERM", how="Warm", exitcode=0
        )
        for child in self._children:
            if child.status is None:
                os.kill(child.pid, signal.SIGTERM)
        while time.monotonic() - began < seconds and self._told == told:
            self._turn()
            if all(child.status is not None for child in self._children):
                break
            self._file.touch("stopping")
            time.sleep(0.05)
        for child in self._children:
            if child.status is None:
                logger.warning("the time is over: process %d is ended", child.pid)
                self._kill(child)
        self._release()
        # Else the janitor will notice by the missing signs of life.
        with self._outage.outlived("the worker could not sign off"):
            store.sign_off(self.worker_id)
        signals.worker_shutdown.send(sender=self)
        logger.info("the worker has stopped, after %.1f s", time.monotonic() - began)
