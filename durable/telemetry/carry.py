"""A trace goes on from the caller of a task to the task.

OpenTelemetry and Sentry add their headers where Celery sends a message; a row takes no such way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

#: ``spans.ids`` and ``spans.call``, if there are spans.
ids: Callable[[], dict[str, str]] | None = None
call: Callable[[Any, dict[str, Any]], AbstractContextManager[dict[str, Any]]] | None = None


def carrying(task: Any, options: dict[str, Any]) -> AbstractContextManager[dict[str, Any]]:
    """Hold the span of a call of *task*; its options have the current trace among their headers.

    What is there already stays: that of a retry.
    """
    options = _with_sentrys(options)
    return nullcontext(options) if call is None else call(task, options)


def _with_sentrys(options: dict[str, Any]) -> dict[str, Any]:
    sentry: Any = sys.modules.get("sentry_sdk")
    if sentry is None or not sentry.is_initialized():
        return options
    found = {"sentry-trace": sentry.get_traceparent(), "baggage": sentry.get_baggage()}
    trace = {name: value for name, value in found.items() if value}
    headers = {**trace, **(options.get("headers") or {})}
    # Sentry reads them there (celery#4875), where they hide those outside from the task.
    own = headers.pop("headers", None) or {}
    return {**options, "headers": {**headers, "headers": {**headers, **own}}}
