"""The worker's view of a message: how the task's process has left it, and what a revoke ends."""

from __future__ import annotations

from functools import partial
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request as CelerysRequest
from celery.worker.request import send_revoked, task_ready
from django.db import transaction

from . import conf, store
from .heartbeat import heartbeat
from .receivers import beside_the_loop
from .ticket import Ticket, ticket_in


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

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        """Discard a message whose task was revoked or has expired; or end one that is terminated.

        Celery's own stores REVOKED whatever became of the task: but this may be a late copy of a
        message whose start is running now, or has finished.
        """
        ticket = ticket_in(self.request_dict)
        if terminated or not ticket:
            super()._announce_revoked(reason, terminated, signum, expired)
            return
        task_ready(self)
        if beside_the_loop(partial(self._revoke_waiting, ticket, reason, expired)):
            self.send_event("task-revoked", terminated=False, signum=signum, expired=expired)
        self.acknowledge()
        self._already_revoked = True

    def _revoke_waiting(self, ticket: Ticket, reason: str, expired: bool) -> bool:
        with transaction.atomic(using=conf.alias()):
            revoked = bool(store.finish([ticket], self.id))
            if revoked:
                self.task.backend.mark_as_revoked(
                    self.id, reason, request=self._context, store_result=self.store_errors
                )
        if revoked:
            send_revoked(
                self.task, request=self._context, terminated=False, signum=None, expired=expired
            )
        return revoked
