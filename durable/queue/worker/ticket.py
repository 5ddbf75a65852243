"""The ticket: what a durable task's message says of its row. It is written and read here alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import conf
from ..store import Held


def ticketed(headers: dict[str, Any], ticket: list[Any]) -> dict[str, Any]:
    """Return *headers* with a row's ticket: also in a tracer's own, ``{"headers": {…}}``.

    Of a call with these (celery#4875), the task sees none that stand beside them.
    """
    found, inner = {**headers, conf.HEADER: ticket}, headers.get("headers")
    return (
        {**found, "headers": {**inner, conf.HEADER: ticket}} if isinstance(inner, dict) else found
    )


def delivery_info(row: Held) -> dict[str, Any]:
    """Return what a message says of its way, for a row."""
    return {"exchange": "", "routing_key": row.queue, "redelivered": row.redelivered}


class Ticket(NamedTuple):
    """The row that a message stands for."""

    row_id: int
    #: How many attempts the row had when it was held.
    attempt: int
    worker: str

    @classmethod
    def of(cls, headers: Any) -> Ticket | None:
        """Return the ticket among a message's *headers*; ``None`` of a plain task."""
        found = (headers or {}).get(conf.HEADER)
        return cls(int(found[0]), int(found[1]), str(found[2])) if found else None


_EMBED = ("callbacks", "errbacks", "chain", "chord")


def call_of(request: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return what a task was called with: a message's body, of Celery's *request*."""
    embed = {name: getattr(request, name, None) for name in _EMBED}
    return request.args, request.kwargs, embed
