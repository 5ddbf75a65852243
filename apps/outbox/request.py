"""The worker's view of a message; only to know which tasks Celery itself has ended."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request as CelerysRequest

from .heartbeat import heartbeat


class Request(CelerysRequest):  # type: ignore[misc]
    """Celery's request, which tells the heartbeat when it is cancelled."""

    def cancel(self, *args: Any, **kwargs: Any) -> None:
        """End the task because the worker stops or has lost its broker; that is no crash."""
        heartbeat.cancelled(self)
        super().cancel(*args, **kwargs)
