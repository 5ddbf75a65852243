"""A trace goes on from the caller of a task to the task.

Sentry adds its headers where Celery sends a message; a row takes no such way.
"""

from __future__ import annotations

import sys
from typing import Any


def carrying(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call with the current trace among its headers, if Sentry is used.

    One that is there already stays: that of a retry.
    """
    sentry: Any = sys.modules.get("sentry_sdk")
    if sentry is None or not sentry.is_initialized():
        return options
    found = {"sentry-trace": sentry.get_traceparent(), "baggage": sentry.get_baggage()}
    trace = {name: value for name, value in found.items() if value}
    headers = {**trace, **(options.get("headers") or {})}
    # Sentry reads them there (celery#4875), where they hide those outside from the task.
    own = headers.pop("headers", None) or {}
    return {**options, "headers": {**headers, "headers": {**headers, **own}}}
