"""A row that can't go on now: it is postponed, longer each time, and quarantined in the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial
from random import uniform
from typing import Any, NamedTuple

from celery import Task as CelerysTask
from celery import current_app
from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.serialization import ensure_serializable
from django.db import Error as DatabaseError
from django.db import connections, transaction
from kombu.exceptions import OperationalError
from kombu.utils.json import dumps, loads

from durable.database.outage import lost_database
from durable.database.retry import is_away
from durable.database.text import repr_of, text_of
from durable.journal import redaction

from .. import conf, results, store
from ..models import Task

logger = logging.getLogger(__name__)

#: Seconds that a task waits for a database that is away, to begin and to say how it has ended.
PATIENCE = 60.0
#: Seconds between two tries: 1, 2, 4, … and at most this.
LONGEST_PAUSE = 600

#: How the line of a row's history begins that ends what was counted before.
AGAIN = "started again by "


class Cause(NamedTuple):
    """Why an attempt, or a row that was held, can't go on now."""

    #: How its lines in the history begin.
    label: str
    #: The state in which it is found.
    state: str
    #: Times until a person must look at it.
    limit: int
    #: Another line in between ends the count.
    in_a_row: bool
    #: What a person can do about it.
    advice: str


#: A query may be what ends the database (out of memory), and each time it takes the transactions of
#: all others with it; in between it may end otherwise.
OUTAGE = Cause("the database went away", "running", 20, False, "")

#: A failure whose error callback is a plain message, which can't be sent.
BROKER_AWAY = Cause(
    "the broker went away", "running", 20, False,
    "Start it again once the broker answers; or discard it.",
)  # fmt: skip

#: With the pauses that is half an hour: a roll-out has come to its end by then.
UNREADABLE = Cause(
    "can't be read by a worker", "held", 12, True,
    "Start it again once the workers of the queue {queue} can read it; or discard it.",
)  # fmt: skip

#: ``Reject(requeue=True)``, as a task's own means.
REJECTED = Cause(
    "rejected", "running", 20, True, "Start it again once its reason is gone; or discard it."
)


def postpone_or_quarantine(
    row_id: int, attempt: int, cause: Cause, why: str, worker: str | None = None
) -> bool:
    """Let a row be ready again later, each time after a longer pause, or quarantine it.

    :param attempt: its number; a row that has moved on is left alone.
    :param worker: its worker; ``None`` for any.
    :return: whether the row was found.
    """
    why = redaction.clean(f"{cause.label}: {why.strip()}")[:500]
    with transaction.atomic(using=conf.alias()):
        row = store.locked(row_id, attempt, cause.state)
        if row is None or (worker is not None and row["worker"] != worker):
            return False
        times = 1 + count(loads(row["history"]), cause)
        if times < cause.limit:
            # By chance: a worker that refuses a row would else look for it again just when it is
            # due, each time before one that can run it.
            pause = min(LONGEST_PAUSE, 2 ** (times - 1)) * uniform(1, 1.5)  # noqa: S311
            store.postpone(row_id, why, pause)
            say = logger.error if cause is UNREADABLE else logger.info
            say("%s[%s] %s; it is tried again in %d s", row["task"], row["task_id"], why, pause)
        else:
            advice = cause.advice.format(queue=row["queue"])
            why = f"{why}. It was tried {times} times. {advice}".strip()
            store.quarantine(row_id, why)
            announce(row_id, row["task_id"], row["task"], why)
            logger.error("%s[%s] is in quarantine: %s", row["task"], row["task_id"], why)
    return True


def postpone_after_outage(row_id: int, number: int, worker: str, error: BaseException) -> None:
    """Let a row be ready again later; wait for the database that is away.

    A server that crashed may have lost that the attempt began, that the row was held, and that it
    had a place. The row waits all the same: its task may be what ends the server. That doesn't
    count towards the quarantine of what kills its process. If the database doesn't come back in
    time, the worker finds a row that none of its processes runs (rows.py).
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        connections[conf.alias()].close()
        try:
            for state, attempt, of in (
                ("running", number, worker), ("held", number - 1, worker),
                ("ready", number - 1, None), ("limited", number - 1, None),
            ):  # fmt: skip
                cause = OUTAGE._replace(state=state)
                if postpone_or_quarantine(row_id, attempt, cause, text_of(error), of):
                    return
            return
        except DatabaseError as still:
            if not is_away(still):
                raise
        except SoftTimeLimitExceeded:
            return
        try:
            time.sleep(0.5)
        except SoftTimeLimitExceeded:
            return


def count_unrecorded(row_id: int, attempt: int, error: Exception) -> None:
    """Count an attempt whose end could not be recorded as a crash, with *error* as its cause.

    What keeps a failure from being stored (an error callback that can't be sent, a result that the
    backend refuses) does so each time: past ``DURABLE_MAX_ATTEMPTS`` the row is quarantined. A
    database that is away is the worker's matter. A broker that is away comes back: the row waits
    for it, longer each time.
    """
    if isinstance(error, OperationalError):
        postpone_or_quarantine(row_id, attempt, BROKER_AWAY, repr_of(error))
    elif not lost_database(error, conf.alias()):
        release(
            "id = %(row)s AND attempt = %(attempt)s AND started_at IS NOT NULL",
            {"row": row_id, "attempt": attempt},
            redaction.clean(f"its end could not be recorded: {repr_of(error)}")[:500],
        )


def count(history: Iterable[dict[str, Any]], cause: Cause) -> int:
    """Return how many lines of a row's *history* have this cause since it was requeued."""
    times = 0
    for line in reversed(list(history)):
        what = line["what"]
        if what.startswith(AGAIN):
            break
        if what.startswith(cause.label):
            times += 1
        elif cause.in_a_row:
            break
    return times


def requeue(ids: list[int], who: str) -> int:
    """Make quarantined rows ready again, with all attempts before them; return how many."""
    return store.requeue(ids, f"{AGAIN}{who}")


def release(where: str, params: dict[str, Any], why: str, *, clean: bool = False) -> int:
    """Let go of the rows that *where* finds; show those that are in quarantine now as failed.

    :param clean: an attempt of theirs ended in order, and doesn't count towards the quarantine.
    :return: how many rows are ready again or in quarantine.
    """
    with transaction.atomic(using=conf.alias()):
        released = store.release(where, params, why, clean=clean)
        for row in released:
            if row.quarantined:
                announce(row.id, row.task_id, row.task, why)
    for row in released:
        if row.quarantined:  # an error, for what collects errors to tell a person
            logger.error("%s[%s] is in quarantine: %s", row.task, row.task_id, why)
        elif row.was_running:
            logger.warning("%s[%s]: %s", row.task, row.task_id, why)
    return len(released)


def announce(row_id: int, task_id: str, task: str, why: str) -> None:
    """Show the task as failed, and have its ``on_failure()`` called.

    Call it in the transaction that puts the row into quarantine. What can't be told of one row is
    logged: it must not keep that row out of the quarantine, nor the others from being looked at.

    :raises django.db.Error: the database is away; all of it is done again.
    """
    for tell in (
        partial(results.store_quarantined, task_id, task, why),
        partial(schedule_on_failure, row_id, results.Quarantined(why)),
    ):
        try:
            with transaction.atomic(using=conf.alias()):
                tell()
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("%s[%s] is in quarantine, which couldn't be told", task, task_id)


def schedule_on_failure(row_id: int, error: Exception) -> None:
    """Let a worker call ``on_failure()`` for the task of a row that ends by *error*.

    Call it in the transaction that ends the row, before it is deleted. The call is a durable task
    of its own: neither a worker's signs of life nor the janitor can wait for what a project does
    there.
    """
    from ..tasks import call_on_failure

    for row in Task.objects.using(conf.alias()).select_for_update().filter(pk=row_id):
        task = current_app.tasks.get(row.task)
        if task is not None and type(task).on_failure is CelerysTask.on_failure:
            continue  # Celery's own, which does nothing
        args, kwargs, _ = loads(row.body)
        arguments = (
            row.task, row.task_id, args, kwargs, type(error).__qualname__,
            list(ensure_serializable(error.args, dumps)), type(error).__module__,
        )  # fmt: skip
        call_on_failure.apply_async_on_commit(arguments, queue=row.queue)
