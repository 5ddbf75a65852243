"""A thread beside a worker's event loop, which must not stand still while a database is away.

The main process of a prefork pool stores what a child can't: that it exceeded its time limit, that
it died, that the task was revoked. Its loop hands out tasks, answers the broker and beats; 30
seconds of a pool's timeout were measured to freeze one for 86. So these writes go through this
thread: the loop waits for them for two seconds at most, and the thread goes on for as long as a
task would, in order. It is the only case in which a write is reported before it is committed; the
log says so, and a stop of the worker waits for it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from celery import signals
from django.db import connections

logger = logging.getLogger(__name__)

#: Seconds that the end of a worker waits for what could not be stored yet.
AT_THE_END = 5.0

_Job = tuple[Callable[[], Any], "Future[Any]"]

_loop: tuple[int, int] | None = None
_lock = threading.Lock()
_jobs: SimpleQueue[_Job] | None = None


@signals.worker_init.connect
def _remember_the_loop(**kwargs: Any) -> None:
    global _loop
    _loop = os.getpid(), threading.get_ident()


def is_event_loop() -> bool:
    """Return whether this is the thread of a worker's event loop, and not of a child or a task."""
    return _loop == (os.getpid(), threading.get_ident())


def run(call: Callable[[], Any], seconds: float, *, goes_on: bool) -> Any:
    """Let the thread do *call*, after what it was given before; return what that returns.

    :param seconds: how long to wait for it.
    :param goes_on: after that time, it goes on, and ``None`` is returned.
    :raises TimeoutError: the time is over, and *call* doesn't go on.
    """
    future = _submit(call)
    try:
        return future.result(seconds)
    except TimeoutError:
        if not goes_on:
            future.cancel()
            raise
        logger.warning("the database is away; a result is stored in the background")
        future.add_done_callback(_say_what_was_lost)
        return None


def _submit(call: Callable[[], Any]) -> Future[Any]:
    global _jobs
    with _lock:
        if _jobs is None:
            _jobs = SimpleQueue()
            threading.Thread(target=_work, args=(_jobs,), name="results", daemon=True).start()
    future: Future[Any] = Future()
    _jobs.put((call, future))
    return future


def _work(jobs: SimpleQueue[_Job]) -> None:
    while True:
        call, future = jobs.get()
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        finally:
            connections.close_all()  # seldom needed, so none is kept


def _say_what_was_lost(future: Future[Any]) -> None:
    if error := future.exception():
        logger.error("a result was lost, the database did not come back in time: %s", error)


@signals.worker_shutdown.connect
def _wait_for_the_rest(**kwargs: Any) -> None:
    if _jobs is None:
        return
    try:
        _submit(lambda: None).result(AT_THE_END)
    except TimeoutError:
        logger.error("the worker ends; the database is away, and some results were not stored")


def _forget() -> None:
    # A child of fork() has neither the thread nor, perhaps, a free lock.
    global _lock, _jobs
    _lock, _jobs = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
