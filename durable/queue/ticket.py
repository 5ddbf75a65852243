"""What the message of a durable task says of its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import conf


class Ticket(NamedTuple):
    """What a durable task's message says of its row."""

    row_id: int
    starts: int


def ticket_of(request: Any) -> Ticket | None:
    """Return the ticket of a task's request; ``None`` if it was called without the outbox."""
    return ticket_in(request.headers)


def ticket_in(headers: Mapping[str, Any] | None) -> Ticket | None:
    """Return the ticket in the *headers* of a message; ``None`` without one."""
    found = (headers or {}).get(conf.HEADER)
    return Ticket(int(found[0]), int(found[1])) if found else None
