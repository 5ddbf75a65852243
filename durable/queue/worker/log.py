"""Gives the log lines of each attempt of a row to the journal."""

from __future__ import annotations

from typing import Any

from celery import signals

from durable.journal import lines

from .attempt import current
from .ticket import Ticket, call_of

#: The attribute of Celery's request that holds them.
NAME = "durable_lines"


@signals.task_prerun.connect
def begin(task: Any, **kwargs: Any) -> None:
    """Collect the lines of a row's attempt from here on."""
    request = task.request
    if not request.is_eager and Ticket.of(request.headers):
        setattr(request, NAME, lines.collect())


@signals.task_postrun.connect
def end(task: Any, **kwargs: Any) -> None:
    """Keep the lines of the attempt that has ended."""
    request = task.request
    found = request.__dict__.pop(NAME, None)
    if found is None or not lines.end(found):
        return
    ticket = Ticket.of(request.headers)
    if ticket is not None and (attempt := current(request)) is not None and attempt.number:
        lines.keep(found, ticket.row_id, attempt.number, task.name, *call_of(request))
