"""A start that ended because its database went away: that is no failure, and no crash."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError, connections, transaction

from . import conf, quarantine, store

logger = logging.getLogger(__name__)

#: Seconds that a process waits for a database that is away, to tell it how a start has ended.
PATIENCE = 60.0
#: How often a row may lose its database before a person must look at it: a query may be what ends
#: the database (out of memory), and each time it takes everybody else's transactions with it.
MOST = 20
#: Seconds between such starts: 1, 2, 4, … and at most this.
LONGEST_PAUSE = 600

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
        except (OperationalError, InterfaceError):
            if time.monotonic() > end:
                return
        except SoftTimeLimitExceeded:
            return
        try:
            time.sleep(0.5)
        except SoftTimeLimitExceeded:
            return


def _postpone(row_id: int, token: int, why: str) -> None:
    values: dict[str, Any] = {
        "id": row_id, "token": token, "note": store.note(why), "why": why, "most": MOST,
        "longest": LONGEST_PAUSE, "what": WHAT + "%",
        "again": quarantine.AGAIN + "%",
    }  # fmt: skip
    with transaction.atomic(using=conf.alias()):
        rows = store.run(
            f"""UPDATE outbox_entry SET {store.APPEND}, worker = NULL, reported = starts,
                    error = %(why)s,
                    due_at = CASE WHEN before.times + 1 < %(most)s THEN clock_timestamp()
                        + least(2 ^ before.times, %(longest)s) * interval '1 s' END,
                    quarantined_at = CASE WHEN before.times + 1 >= %(most)s
                        THEN clock_timestamp() END
                FROM (SELECT count(*) AS times FROM outbox_entry e,
                        jsonb_array_elements(e.history) AS line
                    WHERE e.id = %(id)s AND line ->> 'what' LIKE %(what)s AND NOT EXISTS (
                        SELECT FROM jsonb_array_elements(e.history) AS again
                        WHERE again ->> 'what' LIKE %(again)s
                            AND (again -> 'start')::int >= (line -> 'start')::int)) AS before
                WHERE id = %(id)s AND starts = %(token)s AND worker IS NOT NULL
                RETURNING task_id, task, quarantined_at IS NOT NULL""",  # noqa: S608 - constants
            values,
        )
        for task_id, task, quarantined in rows:
            if quarantined:
                quarantine.announce(row_id, task_id, task, why)
                logger.error("%s[%s]: %s, %d times; quarantined", task, task_id, why, MOST)
