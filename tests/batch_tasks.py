"""Durable tasks that only the tests of the pools run (see tests/durable_tasks.py)."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import shared_task, signals
from celery.exceptions import Reject
from django.core.cache import cache
from django.db import Error, connection, transaction

from durable.queue import progress
from durable.queue.batch import process
from durable.queue.endings.actions import cancel
from durable.queue.limits import Limit
from durable.queue.models import Task
from tests.durable_tasks import Tells, effects, stubborn, wait_for_file, write

# Long enough that a slow machine runs the rows of a test in one batch.
if budget := os.environ.get("TEST_BATCH_SECONDS"):
    process.BUDGET = process.STALE = float(budget)


@signals.task_prerun.connect
@signals.task_success.connect
@signals.task_failure.connect
@signals.task_retry.connect
@signals.task_postrun.connect
def heard(sender: Any, signal: Any, **kwargs: Any) -> None:
    """Write down a signal of the task ``signals_``."""
    if sender.name == "tests.batch_tasks.hears":
        write(f"signal {signal.name}")


@signals.worker_process_init.connect
def starts(**kwargs: Any) -> None:
    """Write down that a process starts."""
    if folder := os.environ.get("TEST_FOLDER"):
        Path(folder, f"process-{os.getpid()}").touch()


@shared_task
def leaves_imports_out() -> bool:
    """Return whether a garbage collection leaves out what the worker imported before it forked."""
    return gc.get_freeze_count() > 10_000


@shared_task(bind=True, max_retries=1)
def hears(self: Any, how: str) -> str:
    """Succeed, fail, or retry once."""
    if how == "fail":
        raise ValueError(how)
    if how == "retry" and not self.request.retries:
        raise self.retry(countdown=0)
    return how


@shared_task
def writes_and_fails_in_sql(label: str) -> None:
    """Fail by a query."""
    write(label)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


@shared_task
def swallows_an_error(label: str, how: str) -> str:
    """Catch the error of a query, with or without a savepoint around that."""
    write(label)
    with suppress(Error):
        if how == "savepoint":
            with transaction.atomic():
                writes_and_fails_in_sql.run(f"{label}-inner")
        elif how == "marked":
            with transaction.atomic(savepoint=False):
                writes_and_fails_in_sql.run(f"{label}-inner")
        else:
            writes_and_fails_in_sql.run(f"{label}-inner")
    return label


@shared_task
def calls_back(label: str, fail: str = "") -> str:
    """Write an effect once committed; fail before that, or in a callback."""
    transaction.on_commit(lambda: write(f"{label}-committed"))
    if fail == "callback":
        transaction.on_commit(lambda: write(str(1 // 0)))
    write(label)
    if fail == "task":
        raise ValueError(label)
    return label


@shared_task
def copies(label: str, fail: bool) -> str:
    """Write past Django, then through it."""
    connection.ensure_connection()
    raw = connection.connection
    with raw.cursor() as cursor, cursor.copy("COPY test_effect (label) FROM STDIN") as copy:
        copy.write_row([f"{label}-copied"])
    write(label)
    if fail:
        raise ValueError(label)
    return label


@shared_task(bind=True, max_retries=2)
def rejects_once(self: Any, label: str) -> str:
    """Be rejected until a second delivery."""
    write(label)
    if not self.request.delivery_info["redelivered"]:
        raise Reject("not yet", requeue=True)
    return label


@shared_task(bind=True)
def keeps_a_lock(self: Any, label: str) -> str:
    """Take a lock in the cache, and find it taken at the next attempt."""
    write(label)
    if cache.add(f"lock of {self.request.id}", "mine"):
        raise self.retry(countdown=0)
    return label


@shared_task(bind=True, max_retries=0)
def retries_in_vain(self: Any, label: str) -> None:
    """Ask for more retries than there are."""
    write(label)
    raise self.retry(exc=LookupError(label))


class UnspeakableError(Exception):
    """Neither its text nor its representation can be had."""

    def __repr__(self) -> str:
        raise LookupError("no words")

    __str__ = __repr__


@shared_task
def fails_unspeakably(label: str) -> None:
    """Fail with such an error."""
    write(label)
    raise UnspeakableError(label)


@shared_task(bind=True)
def retries_unspeakably(self: Any, label: str) -> str:
    """Retry because of such an error."""
    if not self.request.retries:
        raise self.retry(exc=UnspeakableError(label), countdown=0)
    write(label)
    return label


@shared_task(bind=True, atomic=False)
def long(self: Any, label: str, fail: str = "") -> str:
    """Hold the last effects alone; fail before, inside or after that."""
    write(f"{label}-before")
    if fail == "before":
        raise ValueError(label)
    with self.finishing() as outcome:
        write(label)
        outcome.result = label
        if fail == "inside":
            raise ValueError(label)
    if fail == "after":
        raise ValueError(label)
    return "not used"


@shared_task(bind=True)
def tells_how_far(self: Any, label: str) -> str:
    """Return what another connection sees of its progress."""
    write(label)
    self.progress(1, 2, "half")
    seen, task_id = [], self.request.id  # another thread has another request

    def look() -> None:
        seen.append(progress.look(task_id).message)
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return seen[0]


@shared_task
def beside() -> int:
    """Return how many tasks with the key ``L`` run now."""
    time.sleep(0.02)
    return Task.objects.filter(key="L", started_at__isnull=False).count()


@shared_task(limit=Limit(rate="20/s", key="R"))
def paced(label: str) -> str:
    """Write one effect, at a rate."""
    write(label)
    return label


@shared_task(limit=Limit(in_order=True, key="O"))
def in_turn(number: int) -> list[int]:
    """Write one effect, and return the numbers of those that were before it, and its own."""
    write(f"turn {number}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT substr(label, 6)::int FROM test_effect WHERE label LIKE 'turn %'"
                       " ORDER BY at")  # fmt: skip
        return [row[0] for row in cursor]


def be_cancelled(task: Any) -> None:
    """Be cancelled by another thread, as by a person, and hear of it."""
    assert not task.cancelled()
    row_id = Task.objects.get(task_id=task.request.id).pk

    def cancels() -> None:
        cancel(row_id, "a test")
        connection.close()

    thread = threading.Thread(target=cancels)
    thread.start()
    thread.join()
    assert task.cancelled()


@shared_task(bind=True)
def cancels_itself(self: Any, label: str) -> str:
    """Go on although it is cancelled."""
    write(label)
    be_cancelled(self)
    return label


@shared_task(bind=True, atomic=False)
def cancels_itself_in_steps(self: Any, label: str) -> None:
    """Be ended at a query once it is cancelled."""
    write(f"{label} before")
    be_cancelled(self)
    write(f"{label} after")


@shared_task(bind=True)
def replaces_by_chain(self: Any, label: str) -> Any:
    """Let a canvas take its place."""
    from tests.durable_tasks import add

    write(label)
    return self.replace(add.s(1) | add.s(1))


class Stumbles(Tells):
    """Raises when it is told for the first time that it has failed."""

    abstract = True

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Write an effect, and raise; or one that names the error."""
        if f"{args[0]} stumbles" not in effects():
            write(f"{args[0]} stumbles")
            raise LookupError("on_failure")
        super().on_failure(exc, task_id, args, kwargs, einfo)


@shared_task(base=Stumbles)
def stumbles(label: str) -> None:
    """Fail."""
    raise ValueError(label)


@shared_task(base=Tells)
def tells(label: str) -> None:
    """Fail, with an ``on_failure()``."""
    write(label)
    raise ValueError(label)


@shared_task
def told(*arguments: Any) -> str:
    """Write an effect as a callback or an error callback."""
    write("told")
    return "told"


#: What a test in the same process wants done in a task.
HOOKS: dict[str, Callable[[], object]] = {}


@shared_task
def does(name: str) -> None:
    """Do what a test wants done in a task."""
    write(name)
    HOOKS[name]()


@shared_task
def asks(sql: str) -> None:
    """Run a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql)


@shared_task
def locks(number: int) -> int:
    """Lock a row of ``test_lock``."""
    write(f"lock {number}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM test_lock WHERE id = %s FOR UPDATE", [number])
    return number


@shared_task(base=Tells)
def naps(label: str, how: str = "") -> str:
    """End at once, sleep here or in a query, or die."""
    write(label)
    if how == "python":
        time.sleep(600)
    elif how == "query":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")  # the server goes on after the client
    elif how == "stubborn":
        stubborn.run(label)
    elif how == "close":
        connection.close()
    elif how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        raise SystemExit(3)
    elif how == "cut once":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM durable_task WHERE history::text LIKE '%database went away%'"
            )
            if not cursor.fetchone()[0]:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    elif how:
        Path(how, f"started-{label}-{os.getpid()}").touch()
        wait_for_file(f"{how}/go")
    return label


@shared_task
def returns(size: int) -> str:
    """Return a text of that size."""
    write("returned")
    return "x" * size
