"""What the message of a durable task says of its row."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import conf


class Ticket(NamedTuple):
    """What a durable task's message says of its row."""

    row_id: int
    starts: int


def ticket_of(request: Any) -> Ticket | None:
    """Return the ticket of a task's request; ``None`` if it was called without the outbox."""
    found = (request.headers or {}).get(conf.HEADER)
    return Ticket(int(found[0]), int(found[1])) if found else None
