"""The worker's view of a message; only to know how the task's process has left it."""

from __future__ import annotations

from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request as CelerysRequest

from .heartbeat import heartbeat


class Request(CelerysRequest):  # type: ignore[misc]
    """Celery's request, which tells the heartbeat when it is cancelled, and when it returns."""

    def cancel(self, *args: Any, **kwargs: Any) -> None:
        """End the task because the worker stops or has lost its broker; that is no crash."""
        heartbeat.cancelled(self)
        super().cancel(*args, **kwargs)

    def acknowledge(self) -> None:
        """Acknowledge the message: late, that is after a task whose end the worker knows."""
        if self.task.acks_late:
            heartbeat.returned(self)
        super().acknowledge()

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Handle a failure; that of its process is told apart from an end that is known."""
        error = exc_info.exception
        error = getattr(error, "exc", error)  # billiard wraps what a process has pickled
        # Billiard tells of a process that exits by itself before it is gone.
        if isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt):
            heartbeat.crashed(self)
        return super().on_failure(exc_info, *args, **kwargs)
