"""Tasks that expired before a worker started them."""

from __future__ import annotations

from celery import current_app

from . import results, store


def revoke_expired() -> int:
    """Delete what has expired and was not started, and show it as REVOKED, as a worker would.

    :return: how many there were.
    """
    rows = store.run(
        """DELETE FROM outbox_entry WHERE id IN (
               SELECT id FROM outbox_entry
               WHERE expires < statement_timestamp() AND worker IS NULL AND quarantined_at IS NULL
               ORDER BY id FOR UPDATE SKIP LOCKED)
           RETURNING task_id, task, body"""
    )
    for task_id, task, body in rows:
        request = results.context(task_id, task, body)
        current_app.backend.mark_as_revoked(
            task_id, "expired", request=request, store_result=not request.ignore_result
        )
    return len(rows)
