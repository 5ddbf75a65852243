"""Celery's signals of a message that is published, sent for a call whose row is written.

Tracers hook them (OpenTelemetry, Datadog): they put a header into the call, and find it in the
worker.
"""

from __future__ import annotations

from typing import Any

from celery.signals import after_task_publish, before_task_publish
from kombu.utils.json import loads

from .options import as_json
from .template import Call


def before(call: Call) -> Call:
    """Send ``before_task_publish``; return the row with the headers that receivers have left.

    :raises TypeError: a receiver added a header that JSON can't hold.
    """
    if not before_task_publish.receivers:
        return call
    sent = _message(call)
    headers = sent["headers"]
    properties = {
        "correlation_id": call.task_id,
        "reply_to": headers.get("reply_to") or "",
        "priority": call.priority,
    }
    before_task_publish.send(
        sender=call.task, **sent, declare=[], properties=properties, retry_policy={}
    )
    return call._replace(headers=as_json(call.task, {"headers=": headers}, headers))


def after(call: Call) -> None:
    """Send ``after_task_publish``: the row is written, in a transaction that may not be over."""
    if after_task_publish.receivers:
        after_task_publish.send(sender=call.task, **_message(call))


def _message(call: Call) -> dict[str, Any]:
    return {
        "body": tuple(loads(call.body)),
        "headers": loads(call.headers),
        "exchange": "",
        "routing_key": call.queue,
    }
