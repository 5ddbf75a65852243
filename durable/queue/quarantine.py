"""Putting a row into quarantine, and what is told of it then, whatever has led there."""

from __future__ import annotations

import logging
from functools import partial

from django.db import transaction

from durable.database.retry import is_away
from durable.database.text import storable

from . import conf, failures, results, store, tries

logger = logging.getLogger(__name__)


def put(row_id: int, task_id: str, task: str, why: str) -> None:
    """Leave a row that nobody runs to a person; call it in a transaction that holds the row."""
    store.run(
        f"""UPDATE durable_task SET {tries.APPEND}, error = %(why)s, due_at = NULL,
                quarantined_at = clock_timestamp() WHERE id = %(id)s""",  # noqa: S608 - constants
        {"id": row_id, "why": storable(why), "note": tries.note(why)},
    )
    announce(row_id, task_id, task, why)
    logger.error("%s[%s] is in quarantine: %s", task, task_id, why)


def start_again(ids: list[int], who: str) -> int:
    """Let the relay send the rows of *ids* that are in quarantine, with all tries before them.

    :return: how many they are.
    """
    return len(
        store.run(
            f"""UPDATE durable_task SET {tries.APPEND}, quarantined_at = NULL, reported = starts,
                    due_at = clock_timestamp(), error = ''
                WHERE id IN (SELECT id FROM durable_task
                    WHERE id = ANY(%(ids)s) AND quarantined_at IS NOT NULL
                    ORDER BY id FOR UPDATE)
                RETURNING id""",  # noqa: S608 - constants
            {"ids": ids, "note": tries.note(f"{tries.AGAIN}{who}")},
        )
    )


def announce(row_id: int, task_id: str, task: str, why: str) -> None:
    """Show the task as failed, and have its ``on_failure()`` called.

    Call it in the transaction that puts the row into quarantine. What can't be told of one row is
    logged: it must not keep that row out of the quarantine, nor the others from being looked at.

    :raises django.db.Error: the database is away; all of it is done again.
    """
    for tell in (
        partial(results.store_quarantined, task_id, task, why),
        partial(failures.tell, row_id, results.Quarantined(why)),
    ):
        try:
            with transaction.atomic(using=conf.alias()):
                tell()
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("%s[%s] is in quarantine, which couldn't be told", task, task_id)
