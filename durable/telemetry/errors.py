"""Errors to Sentry: of pages, of tasks, of what the log has as ERROR, and beat's monitors.

What is sent has no local variables, bodies, cookies or addresses of pages, for these hold what no
list of names finds. A task's arguments are there as the journal keeps them (HISTORY_REDACT,
`sensitive=`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sentry_sdk
from celery import current_task, signals
from django.conf import settings
from sentry_sdk.integrations.celery import CeleryIntegration

from durable.journal.redaction import MARK, Redacted, here, is_named, redact

from . import conf

#: Seconds that the end of a process waits for its last events.
FLUSH = 2.0
#: What is left of a request: its address may be the link of a mail, which lets its reader in.
REQUEST = frozenset({"method", "headers"})


def install() -> None:
    """Send errors from here on."""
    sentry_sdk.init(
        dsn=conf.get("SENTRY_DSN"),
        environment=conf.get("SENTRY_ENVIRONMENT") or None,
        release=getattr(settings, "APP_VERSION", None),
        traces_sample_rate=conf.get("SENTRY_TRACES_SAMPLE_RATE") or None,
        integrations=[CeleryIntegration(monitor_beat_tasks=True)],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_redacted,
        before_send_transaction=_redacted,
        shutdown_timeout=FLUSH,
    )
    # The processes of a batch worker end without atexit.
    signals.worker_process_shutdown.connect(_flush)


def _flush(**kwargs: Any) -> None:
    sentry_sdk.flush(FLUSH)


def _redacted(event: Any, hint: Any) -> Any:
    """Return *event* as it may leave."""
    if "request" in event:
        asked = event["request"]
        event["request"] = {name: asked[name] for name in REQUEST & asked.keys()}
    if current_task and (request := current_task.request).id:
        args, kwargs = request.args or (), request.kwargs or {}
        found = redact(current_task.name, args, kwargs)
        kept = (found.args, found.kwargs) if found else (args, kwargs)
        job = {"task_name": current_task.name, "args": kept[0], "kwargs": kept[1]}
        # A plain task may have what JSON can't hold.
        event.setdefault("extra", {})["celery-job"] = json.loads(json.dumps(job, default=repr))
    return _walk(event, here())


def _walk(value: Any, secrets: Redacted | None) -> Any:
    if isinstance(value, Mapping):
        return {
            name: MARK if is_named(name) else _walk(one, secrets) for name, one in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_walk(one, secrets) for one in value]
    return secrets.clean(value) if secrets and isinstance(value, str) else value
