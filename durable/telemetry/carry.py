"""A trace goes on from the caller of a task to the task.

OpenTelemetry and Sentry add their headers where Celery sends a message; a row takes no such way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

#: ``spans.ids`` and ``spans.call``, if there are spans.
ids: Callable[[], dict[str, str]] | None = None
call: Callable[[Any, dict[str, Any]], AbstractContextManager[dict[str, Any]]] | None = None


@contextmanager
def carrying(task: Any, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the options of a call of *task* with the current trace among its headers.

    What is there already stays: that of a retry.
    """
    if call is None:
        yield _with_sentrys(options)
        return
    with call(task, options) as traced:
        yield _with_sentrys(traced)


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
