"""Tasks of a project that uses Sentry; what would be sent to it goes into a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import sentry_sdk
from celery import shared_task
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport


class Recording(Transport):
    """Writes each event as a line of JSON."""

    def capture_envelope(self, envelope: Any) -> None:
        with Path(os.environ["SENTRY_RECORD"]).open("a") as file:
            for item in envelope.items:
                file.write(json.dumps(item.payload.json) + "\n")


sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1",
    traces_sample_rate=1.0,
    transport=Recording,
    integrations=[CeleryIntegration(monitor_beat_tasks=True)],
    auto_session_tracking=False,
)


@shared_task
def parent() -> None:
    """Call a task by a row, and one by a message."""
    child.delay_on_commit("row")
    child.delay("message")


@shared_task
def child(how: str) -> None:
    """Do nothing."""
