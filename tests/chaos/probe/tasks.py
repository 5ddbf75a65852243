"""Tasks with one countable effect, and tasks that never end well."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.signals import before_task_publish
from django.db import connection

from . import record
from .mode import AT_ONCE, BASELINE

if TYPE_CHECKING:  # the two have the same types
    from django.tasks import task
else:
    try:
        from django.tasks import task
    except ImportError:  # Django 5.2
        from django_tasks import task

SENT_AT = "chaos_sent_at"


@shared_task
def effect(operation: str, seconds: float) -> None:
    """Work for a while, then append a row; all of it is one transaction."""
    time.sleep(seconds)
    record.executed(operation)


if not BASELINE:  # Django's API and limits, which the documentation's settings don't have
    from durable.queue.limits import Limit

    @task()
    def short_effect(operation: str, seconds: float) -> None:
        """The same, called by Django's own API for tasks."""
        effect.run(operation, seconds)

    @shared_task(limit=Limit(at_once=AT_ONCE, key=lambda key, *rest: key))
    def limited_effect(key: str, operation: str, seconds: float) -> None:
        """The same, of which some run at once for each key."""
        with record.span(key, operation):
            effect.run(operation, seconds)


@shared_task(bind=True)
def event(self: Any, operation: str, seconds: float) -> None:
    """The same for an event from outside, which comes again while it is handled."""
    effect.run(operation, seconds)
    if not BASELINE:
        self.apply_async_on_commit([operation, seconds], dedupe=operation)


@shared_task
def sweep(label: str, seconds: float) -> None:
    """Do what all calls until now were for; two at once would do it twice."""
    time.sleep(seconds)
    record.swept(label)


@shared_task(bind=True, atomic=False)
def long_effect(self: Any, operation: str, seconds: float) -> None:
    """The same for work that is too long for a transaction: only the row is in one."""
    time.sleep(seconds)
    with self.finishing():
        record.executed(operation)


@shared_task(bind=True)
def second_try(self: Any, operation: str) -> None:
    """Fail once, and have its effect when it is tried again."""
    if not self.request.retries:
        raise self.retry(countdown=1)
    record.executed(operation)


@shared_task
def poison(operation: str) -> None:
    """Kill the process that runs it, at every start."""
    os.kill(os.getpid(), signal.SIGKILL)
    record.executed(operation)


@shared_task
def glutton(operation: str) -> None:
    """Take memory until the kernel kills somebody."""
    taken = []
    while True:
        taken.append(bytearray(os.urandom(1 << 20) * 16))


# Both limits: Celery looks at the hard one only once the soft one has passed (billiard's
# on_timeout_set), and the project's soft one is longer than this.
@shared_task(time_limit=5, soft_time_limit=3)
def endless(operation: str) -> None:
    """Hang for longer than any limit, deaf to everything but SIGKILL."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    time.sleep(3600)
    record.executed(operation)


@shared_task(bind=True)
def writes_and_hangs(self: Any, operation: str) -> None:
    """Have its effect, say so, and not come to its end."""
    record.executed(operation)
    self.progress(1, 2, "written")
    time.sleep(3600)


@shared_task(bind=True)
def tick(self: Any, every: int) -> None:
    """Append a row that says when beat sent this."""
    record.ticked(every, _sent_at(self.request))


def _sent_at(request: Any) -> float:
    """Return when beat decided to send: the task's row knows, else the message."""
    with connection.cursor() as cursor:
        if "durable_task" in connection.introspection.table_names(cursor):
            cursor.execute(
                "SELECT extract(epoch FROM created_at)::float8 FROM durable_task"
                " WHERE task_id = %s",
                [request.id],
            )
            if row := cursor.fetchone():
                return float(row[0])
    return float(request.headers[SENT_AT])


@before_task_publish.connect
def _stamp(headers: dict[str, Any], **kwargs: Any) -> None:
    headers.setdefault(SENT_AT, time.time())
