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
from uuid import uuid4

from billiard.einfo import ExceptionInfo
from celery import Task, signals
from celery.app import trace
from celery.exceptions import TimeLimitExceeded
from django.conf import settings
from django.db import connections, transaction

from durable.health.heartbeat import HeartbeatFile

from .. import conf, results, store
from ..endings import janitor, quarantine
from ..models import Task as Row
from .process import Process
from .slots import Slot

logger = logging.getLogger("celery.worker.batch")

#: Seconds between two looks at the processes.
TURN = 0.25
#: Seconds that a process which is to go gets after it was told, once its task's time is over.
UNWIND = 5.0
#: Seconds without a look for rows after which an idle process counts as hanging.
SILENT = 15.0


@dataclass
class Child:
    """A process of the worker."""

    slot: Slot
    worker: str
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
        self.worker_id = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:8]}"
        self._told = 0
        self._count = 0
        self._file = HeartbeatFile("worker", settings.HEARTBEAT_MAX_AGE)
        self._beat_at = 0.0

    def run(self) -> int:
        """Serve rows until told to stop; return the exit status."""
        app = self.celery
        app.loader.init_worker()
        trace.setup_worker_optimizations(app, self.hostname)
        signals.worker_init.send(sender=self)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
            signal.signal(number, self._tell)
        self._file.remove()
        children = [Child(slot, "") for slot in Slot.several(self.concurrency, self.hostname)]
        self._sign()
        for child in children:
            self._start(child)
        signals.worker_ready.send(sender=self)
        logger.info(
            "%s ready. %d processes, batches of %d, queues %s",
            self.hostname, self.concurrency, self.batch, ", ".join(self.queues),
        )  # fmt: skip
        while not self._told:
            self._turn(children)
            self._beat(children)
            time.sleep(TURN)
        self._stop(children)
        return 0

    def _tell(self, *args: Any) -> None:
        self._told += 1

    # --- Processes -------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        self._count += 1
        child.worker, child.status = f"{self.worker_id}#{self._count}", None
        child.slot.alive()
        connections.close_all()  # no two processes may share one
        pid = os.fork()
        if pid:
            child.pid = pid
            return
        status = 1
        try:
            Process(self.celery, child.worker, child.slot, self.queues, self.batch).run()
            status = 0
        except BaseException:
            logger.exception("a process of the batch worker ends")
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)

    def _turn(self, children: list[Child]) -> None:
        """Look after each process once."""
        for child in children:
            if self._has_ended(child):
                logger.warning("process %d ended with status %s", child.pid, child.status)
                self._bury(child)
                if not self._told:
                    self._start(child)
            elif limit := child.slot.over:
                self._end_task(child, limit)

    def _has_ended(self, child: Child) -> bool:
        if child.status is None:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.status = os.waitstatus_to_exitcode(status)
        return child.status is not None

    def _kill(self, child: Child) -> None:
        os.kill(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        child.status = os.waitstatus_to_exitcode(status)

    def _bury(self, child: Child, clean: bool = False) -> None:
        """Let go of the rows of a process that is gone: it counts for the one that ran."""
        running = child.slot.running
        child.slot.alive()
        mine: dict[str, Any] = {"me": child.worker, "id": running[0] if running else 0}
        try:
            quarantine.release(
                "worker = %(me)s AND id = %(id)s", mine, "the process that ran it died",
                clean=clean,
            )  # fmt: skip
            quarantine.release("worker = %(me)s", mine, "its batch was rolled back", clean=True)
        except Exception as error:  # the janitor will, once this worker is gone
            logger.warning("couldn't let go of what process %d ran: %r", child.pid, error)
            connections[conf.alias()].close()

    def _end_task(self, child: Child, limit: float) -> None:
        """End a task that has exceeded its hard time limit, as Celery does."""
        running = child.slot.running
        self._kill(child)
        if running and child.slot.running == running:
            try:
                self._fail(*running, limit)
            except Exception:
                logger.exception("couldn't store that a task exceeded its time limit")
                connections[conf.alias()].close()

    def _fail(self, row_id: int, attempt: int, limit: float) -> None:
        error = TimeLimitExceeded(limit)
        with transaction.atomic(using=conf.alias()):
            row = Row.objects.using(conf.alias()).select_for_update().filter(pk=row_id).first()
            if row is None or row.attempt != attempt:
                return
            task = self.celery.tasks[row.task]
            request = results.context(row.task_id, row.task, row.headers, row.body)
            logger.error("Hard time limit (%ss) exceeded for %s[%s]", limit, row.task, row.task_id)
            store_errors = not request.ignore_result or task.store_errors_even_if_ignored
            task.backend.mark_as_failure(
                row.task_id, error, request=request, store_result=store_errors
            )
            store.finish([(row_id, attempt)])
        try:
            raise error
        except TimeLimitExceeded:
            info = ExceptionInfo()
        if type(task).on_failure is not Task.on_failure:
            task.on_failure(error, row.task_id, request.args, request.kwargs, info)
        signals.task_failure.send(
            sender=task, task_id=row.task_id, exception=error, args=request.args,
            kwargs=request.kwargs, traceback=error.__traceback__, einfo=info,
        )  # fmt: skip

    # --- Signs of life ---------------------------------------------------------------------------

    def _beat(self, children: list[Child]) -> None:
        now = time.monotonic()
        if now < self._beat_at:
            return
        self._beat_at = now + 1.0
        if all(child.slot.running or now - child.slot.seen_at < SILENT for child in children):
            self._file.touch()
        self._sign()

    def _sign(self) -> None:
        try:
            store.beat(self.worker_id, socket.gethostname(), os.getpid(), self.concurrency)
            janitor.sweep()
        except Exception as error:
            logger.warning("no sign of life: %s", error)
            connections[conf.alias()].close()

    # --- The stop --------------------------------------------------------------------------------

    def _stop(self, children: list[Child]) -> None:
        """Let tasks end for a while, then end their processes; all else goes back."""
        seconds = float(self.celery.conf.worker_soft_shutdown_timeout or 0)
        began, told = time.monotonic(), self._told
        logger.info("told to stop: what runs may run on for %g s", seconds)
        signals.worker_shutting_down.send(
            sender=self.hostname, sig="SIGTERM", how="Warm", exitcode=0
        )
        for child in children:
            if not self._has_ended(child):
                os.kill(child.pid, signal.SIGTERM)
        while time.monotonic() - began < seconds and self._told == told:
            if sum(self._has_ended(child) for child in children) == len(children):
                break
            self._turn([child for child in children if not self._has_ended(child)])
            self._file.touch("stopping")
            time.sleep(0.05)
        for child in children:
            if not self._has_ended(child):
                logger.warning("the time is over: process %d is ended", child.pid)
                self._kill(child)
            self._bury(child, clean=True)
        try:
            store.sign_off(self.worker_id)
        except Exception as error:  # the janitor will notice by the missing signs of life
            logger.warning("couldn't sign off: %r", error)
        signals.worker_shutdown.send(sender=self)
        logger.info("the worker has stopped, after %.1f s", time.monotonic() - began)
