"""The ids that every log line carries, and how a request's id gets from caller to task.

In context variables: each of gunicorn's threads, and each of a worker's slots, has its own.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

from django.contrib.auth import SESSION_KEY
from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

#: The name in the log, and of the message header.
REQUEST_ID = "request_id"

#: The name of the header that holds the primary key of the user who called.
USER = "user"

#: The request that this thread answers.
current: ContextVar[Any] = ContextVar("request", default=None)

#: What proxies and clients make: UUIDs, hex, base64, `Root=1-67891233-abcdef`. Nothing that a
#: terminal, a query or a header would take for more than text.
_SANE = re.compile(r"[A-Za-z0-9._~:+/=-]{1,128}", re.ASCII)


def sane(value: Any) -> str | None:
    """Return *value* if it can be a request's id, else ``None``."""
    return value if isinstance(value, str) and _SANE.fullmatch(value) else None


def of_message(headers: Any) -> str | None:
    """Return the request's id that a task's message carries."""
    return sane((headers or {}).get(REQUEST_ID))


def carrying(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call with the current request's id and user among its headers.

    What is there already stays: that of a retry, or of a message that is sent again.
    """
    request_id = get_contextvars().get(REQUEST_ID)
    if not request_id:
        return options
    headers = {REQUEST_ID: request_id, **_user(), **(options.get("headers") or {})}
    return {**options, "headers": headers}


def _user() -> dict[str, str]:
    """Return who is logged in, as far as the request knows by now: no query is made for it."""
    session = getattr(current.get(), "session", None)
    user = session.get(SESSION_KEY) if session is not None and session.accessed else None
    return {USER: str(user)} if user else {}


def bind(**ids: str | None) -> Any:
    """Give *ids* to the log lines from here on; return what :func:`unbind` takes to undo it."""
    return bind_contextvars(**ids)


def unbind(before: Any) -> None:
    """Make the context again what it was before :func:`bind`."""
    reset_contextvars(**before)
