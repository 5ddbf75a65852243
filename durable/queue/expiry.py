"""Tasks that expired before a worker started them."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.db import transaction

from durable.database.outage import lost_database
from durable.database.retry import is_away

from . import conf, quarantine, results, store


def revoke_expired() -> int:
    """Delete what has expired and was not started, and show it as REVOKED, as a worker would.

    ``DURABLE_BATCH`` rows at most, so that nobody waits for a long backlog that has expired. A row
    is deleted with its result: whatever breaks in between, it is still there to be revoked.

    :return: how many rows were ended; fewer than the limit, if there are no more.
    :raises Exception: the database or the result backend is away.
    """
    with transaction.atomic(using=conf.alias()):
        rows = store.run(
            """SELECT id, task_id, task, body FROM durable_task
               WHERE expires < statement_timestamp() AND worker IS NULL AND quarantined_at IS NULL
               ORDER BY expires LIMIT %s FOR UPDATE SKIP LOCKED""",
            [conf.get("BATCH")],
        )
        revoked = []
        for row_id, task_id, task, body in rows:
            try:
                _store_revoked(task_id, task, body)
                revoked.append(row_id)
            except _UnstorableError as error:
                # To a person: it must not hold up what has expired after it.
                quarantine.put(row_id, task_id, task, f"expired, but not revoked: {error}")
        if revoked:
            store.run("DELETE FROM durable_task WHERE id = ANY(%s)", [revoked])
    return len(rows)


class _UnstorableError(Exception):
    """It is this row's fault that its end can't be stored."""


def _store_revoked(task_id: str, task: str, body: str) -> None:
    backend: Any = current_app.backend
    try:
        request = results.context(task_id, task, body)
    except Exception as error:
        raise _UnstorableError(f"its body can't be read: {error!r}"[:500]) from error
    try:
        with transaction.atomic(using=conf.alias()):
            backend.mark_as_revoked(
                task_id, "expired", request=request, store_result=not request.ignore_result
            )
    except Exception as error:
        away = is_away(error) or lost_database(error, conf.alias())
        # Of another backend nobody can tell.
        if away or not results.is_transactional(backend):
            raise
        raise _UnstorableError(repr(error)[:500]) from error
