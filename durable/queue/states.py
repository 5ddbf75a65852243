"""The states of a row: which columns make them. The page docs/protocol.md has the same table.

A row is the task. ``finished``, ``failed``, ``revoked`` and ``discarded`` are no states of it: the
row is gone then, and the result says which.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import Q


class State(NamedTuple):
    """One state of a row."""

    meaning: str
    #: The columns that make it, as SQL and for Django.
    sql: str
    columns: Q


#: When a row is due that has no place of its key yet: it stands in no line.
FAR = datetime(9000, 1, 1, tzinfo=UTC)

#: No worker has it in hand, and it is not a person's matter.
FREE = "worker IS NULL AND quarantined_at IS NULL"
_free = Q(worker=None, quarantined_at=None)

STATES: dict[str, State] = {
    "scheduled": State(
        "its time has not come",
        f"{FREE} AND eligible_at IS NULL AND due_at > statement_timestamp()",
        _free & Q(eligible_at=None),  # and the time, which only the database knows (see admin.py)
    ),
    "limited": State(
        "its key has no place for it yet (or its time has not come)",
        "eligible_at IS NOT NULL AND quarantined_at IS NULL",
        Q(eligible_at__isnull=False, quarantined_at=None),
    ),
    "ready": State(
        "any worker of its queue may take it",
        f"{FREE} AND due_at <= statement_timestamp()",
        _free,
    ),
    "held": State(
        "a worker has it in hand and has not begun",
        "worker IS NOT NULL AND started_at IS NULL",
        Q(worker__isnull=False, started_at=None),
    ),
    "running": State(
        "an attempt is under way",
        "worker IS NOT NULL AND started_at IS NOT NULL",
        Q(worker__isnull=False, started_at__isnull=False),
    ),
    "quarantined": State(
        "it can't go on by itself; a person decides",
        "quarantined_at IS NOT NULL",
        Q(quarantined_at__isnull=False),
    ),
}

#: What the database itself holds to: a row is in one state at a time.
CONSTRAINT = (
    (Q(quarantined_at=None) | Q(worker=None))  # in quarantine nothing runs
    & (Q(started_at=None) | Q(worker__isnull=False))  # an attempt has a worker
    # Without a place of its key it stands in no line, and no worker has it.
    & (Q(eligible_at=None) | Q(worker=None, due_at=FAR))
    # What is unique while it waits is so no longer.
    & (Q(started_at=None) | Q(unique_key=None) | Q(unique_running=True))
)

#: The state of a row, as an expression.
CASE = "CASE {} END".format(
    " ".join(f"WHEN {state.sql} THEN '{name}'" for name, state in STATES.items())
)
