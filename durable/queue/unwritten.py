"""A start whose end could not be written down, though its process and its database are well."""

from __future__ import annotations

from typing import Any

from celery.exceptions import Reject

from durable.database.outage import lost_database

from . import conf
from .heartbeat import UNWRITTEN, give_up


def count(task: Any, error: BaseException | None) -> None:
    """Let the row be started again, and count it as a crash, with *error* as its cause.

    What keeps a failure from being stored (an error callback that can't be sent, a result that the
    backend refuses) does so each time: past ``DURABLE_MAX_STARTS`` the row goes to quarantine.
    A process that ends, or a database that is away, is the heartbeat's matter.
    """
    claim = getattr(task.request, "claim", None)
    if not claim or claim.finished or claim.rescheduled or claim.request.is_eager:
        return
    if not isinstance(error, Exception) or isinstance(error, (Reject, MemoryError)):
        return
    if lost_database(error, conf.alias()):
        return
    give_up(
        "id = %(row)s AND starts = %(start)s",
        {"row": claim.row_id, "start": claim.token},
        f"{UNWRITTEN}: {error!r}"[:500],
    )
