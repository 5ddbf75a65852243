"""A row that can't be sent though the broker answers: tried again later, and not for ever."""

from __future__ import annotations

from json import loads

from django.db import transaction

from . import conf, quarantine, store, tries

#: Tries in a row until a person must look at it. With the pauses that is half an hour: a deployment
#: has come to its end, and what it brought (a queue, a permission, a library) is everywhere.
MOST = 12
WHAT = "not sent"


def report(row: store.Row, error: Exception) -> None:
    """Let *row* be sent again, later each time, or put it into quarantine.

    Only for a broker that takes other messages: one that is away counts for no row. The count is
    kept in the history and begins anew with each start, and when a person has it started again.
    """
    why = f"{WHAT}: {error!r}"[:500]
    with transaction.atomic(using=conf.alias()):
        found = store.run(
            """SELECT history FROM durable_task
               WHERE id = %s AND sends = %s AND starts = %s AND worker IS NULL FOR UPDATE""",
            [row.id, row.sends, row.starts],
        )
        if not found:  # it has moved on: an earlier message of it has arrived
            return
        times = 1 + tries.count(tries.lines(loads(found[0][0])), WHAT)
        if times < MOST:
            tries.postpone(row.id, why, times)
            return
        why = (
            f"{why}. It was tried {times} times, and the broker answers. Change what the error "
            "names (the call's options, CELERY_TASK_QUEUES and CELERY_TASK_ROUTES, what the broker "
            "permits), restart beat, and start the task again; or discard it."
        )
        quarantine.put(row.id, row.task_id, row.task, why)
