"""The audit log: a row of a table and a line of the log for each event."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest
from structlog.contextvars import get_contextvars

from durable.client_address import client_address
from durable.logs.context import REQUEST_ID

from .models import Event

logger = logging.getLogger("durable.audit")

#: The request that this thread answers, for what is told of no request: signals, validators.
current: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def name_of(user: Any) -> str:
    """Return the name of *user*; empty if there is none."""
    return str(user.get_username())[:150] if user is not None and user.is_authenticated else ""


def record(event: str, user: Any = None, about: str = "") -> None:
    """Write down that *event* happened to the account *user*, in the current request.

    Never pass what a visitor typed as a name: now and then it is a password.
    """
    request = current.get()
    account, actor = name_of(user), name_of(getattr(request, "user", None))
    row = Event(
        event=event,
        account=account or actor,
        actor="" if actor == (account or actor) else actor,
        address=client_address(request.META) if request else "",
        about=about[:500],
        request_id=get_contextvars().get(REQUEST_ID) or "",
    )
    row.save(force_insert=True)
    shown = {"account": row.account, "actor": row.actor, "address": row.address, "about": row.about}
    known = {name: value for name, value in shown.items() if value}
    logger.info("audit: %s %r", event, known, extra={"audit": event, **known})
