"""A row that can't be sent though the broker answers: tried again later, and not for ever."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.results.texts import storable

from . import conf, quarantine, store

#: Tries in a row until a person must look at it. With the pauses that is half an hour: a deployment
#: has come to its end, and what it brought (a queue, a permission, a library) is everywhere.
MOST = 12
#: Seconds between two tries: 1, 2, 4, … and at most this.
LONGEST_PAUSE = 600

WHAT = "not sent"


def report(row: store.Row, error: Exception) -> None:
    """Let *row* be sent again, later each time, or put it into quarantine.

    Only for a broker that takes other messages: one that is away counts for no row. The count is
    kept in the history and begins anew with each start, and when a person has it started again.
    """
    why = f"{WHAT}: {error!r}"[:500]
    with transaction.atomic(using=conf.alias()):
        found = store.run(
            """SELECT history -> -1 ->> 'what', history -> -1 ->> 'times' FROM outbox_entry
               WHERE id = %s AND sends = %s AND starts = %s AND worker IS NULL FOR UPDATE""",
            [row.id, row.sends, row.starts],
        )
        if not found:  # it has moved on: an earlier message of it has arrived
            return
        [(what, before)] = found
        times = 1 + (int(before or 0) if (what or "").startswith(WHAT) else 0)
        if times < MOST:
            postpone(row.id, why, times)
            return
        why = (
            f"{why}. It was tried {times} times, and the broker answers. Change what the error "
            "names (the call's options, CELERY_TASK_QUEUES and CELERY_TASK_ROUTES, what the broker "
            "permits), restart beat, and start the task again; or discard it."
        )
        # Its line in the history has no number of times: whoever starts it again gives it all of
        # them.
        quarantine.put(row.id, row.task_id, row.task, why)


def postpone(row_id: int, why: str, times: int, **more: Any) -> int:
    """Let the row be sent again after a pause, and keep how many *times* it was tried.

    The caller holds the row's lock.

    :param more: kept in the history as well.
    :return: the pause, in seconds.
    """
    pause: int = min(LONGEST_PAUSE, 2 ** (times - 1))
    store.run(
        f"""UPDATE outbox_entry SET {store.APPEND}, error = %(why)s,
                due_at = clock_timestamp() + %(pause)s * interval '1 s' WHERE id = %(id)s""",  # noqa: S608 - constants
        {
            "id": row_id, "why": storable(why), "note": store.note(why, times=times, **more),
            "pause": pause,
        },
    )  # fmt: skip
    return pause
