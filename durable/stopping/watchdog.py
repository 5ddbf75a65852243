"""Ends a worker whose stop hangs, before its supervisor does it with SIGKILL."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import signals
from kombu.transport.virtual import Channel

from .pools import Pool

#: Seconds after the soft timeout until it steps in; the grace period is 35 s or more after it.
PATIENCE = 25.0
STDERR = 2
#: Seconds for handing back, each to the broker and to the database.
HAND_BACK = 4.0


class Watchdog(threading.Thread):
    """Waits for the first signal, then watches the time.

    A thread, because what hangs may be the event loop itself: a driver in C that doesn't return, a
    pipe without a writer. It uses no lock that the hanging thread may hold: no logging.
    """

    def __init__(self, worker: Any, pool: Pool, timeout: float) -> None:
        super().__init__(name="stop-watchdog", daemon=True)
        self._worker, self._pool, self._timeout = worker, pool, timeout
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._follows = False

    def told(self, times: int) -> None:
        """Take note that the worker was told to stop, *times* times by now.

        Called by the signal handler.
        """
        with suppress(BlockingIOError):
            os.write(self._writer, bytes([min(times, 3)]))

    def main_thread_follows(self) -> None:
        """Take note that the main thread has heard it."""
        self._follows = True

    def run(self) -> None:
        os.read(self._reader, 1)
        start = time.monotonic()
        if self._told_thrice(start + self._timeout):
            return self._end("it was told to stop three times")
        if not self._follows:
            # It runs a task itself (`--pool solo`), whose time is over, or it hangs.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGQUIT)
        if self._told_thrice(start + self._timeout + PATIENCE):
            return self._end("it was told to stop three times")
        return self._end("its event loop hangs")

    def _told_thrice(self, until: float) -> bool:
        while (left := until - time.monotonic()) > 0:
            if select.select([self._reader], [], [], left)[0] and os.read(self._reader, 1) == b"\3":
                return True
        return False

    def _end(self, why: str) -> None:
        self._say(f"the worker hands back what it holds and ends at once: {why}\n")
        faulthandler.dump_traceback(STDERR, all_threads=True)
        self._within(self._pool.kill)
        self._within(self._give_messages_back)
        self._within(lambda: signals.worker_shutdown.send(sender=self._worker))
        self.exit(70)

    def exit(self, status: int) -> None:
        """End the process; Python would wait for threads that don't end."""
        for stream in (sys.stdout, sys.stderr):
            self._within(stream.flush)
        os._exit(status)

    def _give_messages_back(self) -> None:
        connection: Any = self._worker.consumer.connection
        if connection is None or not connection.connected:  # to ask for more would connect
            return
        for channel in list(getattr(connection.connection, "channels", ())):
            if isinstance(channel, Channel) and hasattr(channel.qos, "restore_by_tag"):
                # On a connection of its own. What was acknowledged isn't there any more.
                channel.qos.restore_unacked()

    def _within(self, call: Callable[[], Any]) -> None:
        """Do *call* in a thread of its own, for ``HAND_BACK`` seconds."""
        thread = threading.Thread(target=self._quietly, args=(call,), daemon=True)
        thread.start()
        thread.join(HAND_BACK)

    def _quietly(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            self._say(f"the worker's end goes on without it: {error!r}\n")

    @staticmethod
    def _say(text: str) -> None:
        os.write(STDERR, text.encode())
