"""A start that ended because its database went away: that is no failure, and no crash."""

from __future__ import annotations

import time
from json import loads

from celery.exceptions import SoftTimeLimitExceeded
from django.db import Error as DatabaseError
from django.db import connections, transaction

from durable.database.retry import is_away

from . import conf, quarantine, store, tries

#: Seconds that a process waits for a database that is away, to tell it how a start has ended.
PATIENCE = 60.0
#: How often a row may lose its database before a person must look at it: a query may be what ends
#: the database (out of memory), and each time it takes everybody else's transactions with it.
MOST = 20

WHAT = "the database went away"


def report(row_id: int, token: int, error: BaseException) -> None:
    """Let the row be started again, later each time; wait for the database that is away.

    It doesn't count towards the quarantine of what kills its process. If the database doesn't come
    back in time, the worker's heartbeat does it (see ``Heartbeat.returned``).
    """
    end = time.monotonic() + PATIENCE
    while True:
        connections[conf.alias()].close()
        try:
            _postpone(row_id, token, f"{WHAT}: {str(error).strip()[:500]}")
            return
        except DatabaseError as still:
            if not is_away(still):
                raise
            if time.monotonic() > end:
                return
        except SoftTimeLimitExceeded:
            return
        try:
            time.sleep(0.5)
        except SoftTimeLimitExceeded:
            return


def _postpone(row_id: int, token: int, why: str) -> None:
    with transaction.atomic(using=conf.alias()):
        for task_id, task, history in store.run(
            """SELECT task_id, task, history FROM durable_task
               WHERE id = %s AND starts = %s AND worker IS NOT NULL FOR UPDATE""",
            [row_id, token],
        ):
            # Not in a row: what takes the database along may end otherwise in between.
            times = 1 + tries.count(tries.lines(loads(history)), WHAT, in_a_row=False)
            if times < MOST:
                tries.postpone(row_id, why, times, ends=True)
                continue
            quarantine.put(row_id, task_id, task, f"{why}, {times} times")
            store.run(
                "UPDATE durable_task SET worker = NULL, reported = starts WHERE id = %s", [row_id]
            )
