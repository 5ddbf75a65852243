"""Loaded by a worker with ``CELERY_IMPORTS``: its event loop hangs as soon as it is to stop."""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_shutting_down


@worker_shutting_down.connect
def hang(**kwargs: Any) -> None:
    """Wait for what never comes."""
    threading.Event().wait()
