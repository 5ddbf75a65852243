"""Durable tasks that only tests run. Each real execution appends a row: nothing makes it unique."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Task as CelerysTask
from celery import shared_task, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection

from proj.task import Task

CREATE = """CREATE TABLE IF NOT EXISTS test_effect (
    label text, start int, pid int DEFAULT 0, at timestamptz DEFAULT clock_timestamp())"""


def write(label: str, start: int = 0) -> None:
    """Append an effect."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO test_effect (label, start, pid) VALUES (%s, %s, %s)",
            [label, start, os.getpid()],
        )


def effects() -> dict[str, int]:
    """Return how often each label was written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT label, count(*) FROM test_effect GROUP BY label")
        return dict(cursor.fetchall())


def truncate() -> None:
    """Forget all effects."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE test_effect")


def wait_for_file(path: str) -> None:
    """Block until *path* exists; the test decides when."""
    while not Path(path).exists():
        time.sleep(0.02)


@shared_task
def effect(label: str) -> str:
    """Write one effect."""
    write(label)
    return label


@shared_task
def slow(label: str, seconds: float) -> str:
    """Write one effect, and take a while."""
    time.sleep(seconds)
    write(label)
    return label


@shared_task
def gate(label: str, folder: str) -> str:
    """Say that it runs, write an effect, and wait for the test; then finish."""
    write(label)
    Path(folder, f"started-{label}-{os.getpid()}").touch()
    wait_for_file(f"{folder}/go")
    return label


@shared_task(base=CelerysTask)
def plain_gate(label: str, folder: str) -> str:
    """Like ``gate``, with Celery's own base class."""
    return str(gate.run(label, folder))


@signals.task_revoked.connect
def after_revoke(sender: Any, request: Any, **kwargs: Any) -> None:
    """Write down that a ``gate`` was revoked, as a project may that waits for it."""
    if sender.name == gate.name:
        write(f"{request.args[0]} was revoked")


@shared_task(bind=True, atomic=False)
def long_gate(self: Any, label: str, folder: str) -> str:
    """Like ``gate``, as a long task."""
    Path(folder, f"started-{label}-{os.getpid()}").touch()
    wait_for_file(f"{folder}/go")
    with self.finishing() as outcome:
        write(label)
        outcome.result = label.upper()
    return "what the function returns is not used"


@shared_task(bind=True, atomic=False)
def tells_progress(self: Any, folder: str) -> str:
    """Say how far it is, and wait for the test; then finish."""
    self.update_state(state="PROGRESS", meta={"done": 1})
    Path(folder, "started-progress").touch()
    wait_for_file(f"{folder}/go")
    return "all"


@shared_task(bind=True, atomic=False)
def finishes_in_a_loop(self: Any, labels: list[str], first_fails: bool = False) -> str:
    """Hold the last effects more than once; with *first_fails*, the first is rolled back."""
    if first_fails:
        with suppress(ZeroDivisionError), self.finishing():
            write("rolled back")
            raise ZeroDivisionError
    for label in labels:
        with self.finishing():
            write(label)
    return labels[-1]


class Tells(Task):
    """Writes down that it has failed for good."""

    abstract = True

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Write an effect that names the error."""
        write(f"{args[0]}: {type(exc).__name__}")


@shared_task(base=Tells)
def poison(label: str, how: str = "SIGKILL") -> None:
    """End the process that runs it, by a signal or by itself."""
    write(label)
    if how == "sys.exit":
        sys.exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(bind=True)
def poison_parent(self: Any, label: str) -> None:
    """Kill the whole worker, as the kernel does when memory is short."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(base=Tells)
def stubborn(label: str) -> None:
    """Take no notice of the soft time limit."""
    write(label)
    while True:
        try:
            time.sleep(600)
        except SoftTimeLimitExceeded:
            continue


@shared_task
def deaf(label: str, folder: str) -> str:
    """Like ``gate``, and not to be ended by anything but SIGKILL."""
    write(label)
    Path(folder, f"started-{label}-{os.getpid()}").touch()
    while True:
        try:
            wait_for_file(f"{folder}/go")
            return label
        except BaseException:  # noqa: S112 - that is what it is for
            continue


@shared_task
def fails(label: str) -> None:
    """Raise after its effect."""
    write(label)
    raise ValueError(label)


class VerbatimError(Exception):
    """Its representation is its text, without any escapes."""

    def __repr__(self) -> str:
        return str(self)


@shared_task(bind=True)
def fails_with(self: Any, text: str, retry: bool = False) -> None:
    """Fail with an error whose text and representation are *text*; or retry because of it."""
    if retry:
        raise self.retry(exc=VerbatimError(text), countdown=0)
    raise VerbatimError(text)


class Stumbles(Task):
    """Raises when it is told that it has failed, but for the second time."""

    abstract = True
    told = 0

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Write an effect that names the error, or raise."""
        type(self).told += 1
        if self.told % 2:
            raise LookupError("on_failure")
        write(f"{args[0]}: {exc!r}")


class NeverBegins(Task):
    """Raises before it is run."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Raise."""
        raise LookupError("before_start")


@shared_task(base=NeverBegins)
def never_begins(label: str) -> None:
    """Write an effect."""
    write(label)


class EndsBefore(Task):
    """Ends the task before it is run, as its first argument says."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Raise, but after a retry."""
        write(f"before {args[0]}")
        if self.request.retries:
            return
        if args[0] == "retry":
            raise self.retry(countdown=600)
        if args[0] == "retry and go on":
            self.retry(countdown=600, throw=False)
            return
        if args[0] == "retry in vain":
            raise self.retry(max_retries=0, exc=LookupError("in vain"))
        away = OperationalError("gone")
        away.lost_database = DEFAULT_DB_ALIAS  # type: ignore[attr-defined]
        raise {
            "ignore": Ignore(),
            "reject": Reject("no", requeue=False),
            "requeue": Reject("later", requeue=True),
            "outage": away,
        }[args[0]]


@shared_task(base=EndsBefore)
def ends_before(how: str) -> None:
    """Write an effect."""
    write(f"ran after {how}")


class CallsRun(Task):
    """Goes around its tasks, as many projects' base classes do, and calls ``run()``."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in between two effects."""
        write("before")
        result = self.run(*args, **kwargs)
        write("after")
        return result


class CallsSuper(Task):
    """Goes around its tasks, and calls the method that it overrides."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in between two effects."""
        write("before")
        result = super().__call__(*args, **kwargs)
        write("after")
        return result


@shared_task(bind=True, base=CallsRun)
def called_by_run(self: Any, n: int, fail: bool = False) -> str:
    """Call itself as a function, and write the request's id."""
    return countdown(self, n, fail)


@shared_task(bind=True, base=CallsSuper)
def called_by_super(self: Any, n: int, fail: bool = False) -> str:
    """Call itself as a function, and write the request's id."""
    return countdown(self, n, fail)


def countdown(task: Any, n: int, fail: bool) -> str:
    """Write *n* and the request's id; do the same for all numbers below."""
    write(f"{n} of {task.request.id}")
    if n:
        task(n - 1)
    if fail:
        raise ValueError(n)
    return str(task.request.id)


@shared_task(base=Stumbles)
def stumbles(label: str) -> None:
    """Fail."""
    raise ValueError(label)


@shared_task(bind=True, max_retries=5)
def retries(self: Any, label: str, times: int, countdown: float = 0) -> int:
    """Retry a few times, then write the number of retries."""
    if self.request.retries < times:
        write(f"{label}-rolled-back")
        raise self.retry(countdown=countdown)
    write(f"{label}-{self.idempotency_key}")
    return int(self.request.retries)


@shared_task(bind=True)
def retries_elsewhere(self: Any, label: str) -> None:
    """Retry in another queue, at another priority, with more time, and with hidden arguments."""
    raise self.retry(
        queue="reports", priority=6, expires=3600, countdown=0, argsrepr="(***)", kwargsrepr="{***}"
    )


@shared_task(bind=True, autoretry_for=(ZeroDivisionError,), retry_kwargs={"countdown": 0})
def autoretries(self: Any, label: str) -> str:
    """Fail once."""
    if not self.request.retries:
        raise ZeroDivisionError(label)
    write(label)
    return label


@shared_task(bind=True, max_retries=5)
def retries_and_goes_on(self: Any, label: str) -> str:
    """Ask for another run without ending this one."""
    write(label)
    if self.request.retries == 0:
        self.retry(countdown=0, throw=False)
    return label


@shared_task
def ignores(label: str) -> None:
    """End without a result."""
    write(label)
    raise Ignore


@shared_task
def rejects(label: str) -> None:
    """Give the message up."""
    write(label)
    raise Reject("no", requeue=False)


@shared_task(bind=True)
def replaces(self: Any, label: str) -> Any:
    """Let another task take its place."""
    write(f"{label}-first")
    return self.replace(effect.s(label))


@shared_task
def calls_another(label: str, fail: bool) -> None:
    """Call a task with its own transaction."""
    effect.delay_on_commit(f"{label}-child")
    write(label)
    if fail:
        raise ValueError(label)


@shared_task
def add(*numbers: Any) -> int:
    """Return the sum of numbers and of lists of them."""
    total = 0
    for number in numbers:
        total += sum(number) if isinstance(number, list) else number
    write(f"add-{total}")
    return total


@shared_task(ignore_result=True)
def keeps_no_result(*numbers: Any) -> None:
    """Do nothing."""


@shared_task(bind=True)
def fibonacci(self: Any, n: int) -> int:
    """Call itself as a function."""
    return n if n < 2 else int(self(n - 1)) + int(self(n - 2))


@shared_task
def unserializable() -> object:
    """Return what JSON can't hold."""
    write("unserializable")
    return object()


@shared_task
def breaks_database(label: str, times: int = 1) -> None:
    """Lose the database connection in the middle of the first runs."""
    write(label)
    with connection.cursor() as cursor:
        cursor.execute("SELECT attempt FROM durable_task WHERE started_at IS NOT NULL")
        if cursor.fetchone()[0] <= times:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@shared_task
def interrupted(label: str) -> None:
    """Be superseded: while it runs, another attempt is counted, by another connection."""
    import psycopg

    write(label)
    settings = connection.get_connection_params()
    names = ("dbname", "user", "host", "port", "password")
    plain = {name: settings[name] for name in names if name in settings}
    with psycopg.connect(**plain, autocommit=True) as other:
        other.execute("UPDATE durable_task SET attempt = attempt + 1")


@shared_task
def raises(name: str) -> None:
    """Raise what is no ordinary error of a task."""
    kinds = (MemoryError, asyncio.CancelledError, GeneratorExit)
    raise {kind.__name__: kind for kind in kinds}[name]("too much")


@shared_task
def ends_its_process(folder: str) -> None:
    """Note that it has started, and end its process."""
    Path(folder, f"started-{os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


_kept: list[str] = []


@shared_task(bind=True)
def leaks(self: Any, size: int, times: int) -> None:
    """Keep so many bytes; the first times, be killed for it, as the kernel does."""
    _kept.append("x" * size)
    with connection.cursor() as cursor:
        cursor.execute("SELECT attempt FROM durable_task WHERE task_id = %s", [self.request.id])
        if cursor.fetchone()[0] <= times:
            os.kill(os.getpid(), signal.SIGKILL)
