"""The end of a task that is revoked, or has expired, while no worker has it in hand."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import current_app, signals
from django.db import transaction

from .. import conf


def store(request: Any, why: str, *, expired: bool = False) -> None:
    """Store REVOKED, and send Celery's signal ``task_revoked`` once that is committed.

    In a worker Celery sends it. An application may go by it: it is the only word that its task will
    never run.
    """
    current_app.backend.mark_as_revoked(
        request.id, why, request=request, store_result=not request.ignore_result
    )
    transaction.on_commit(partial(_send, request, expired), using=conf.alias(), robust=True)


def _send(request: Any, expired: bool) -> None:
    if request.task not in current_app.tasks:
        current_app.loader.import_default_modules()  # a process of web may not have needed it yet
    if request.task in current_app.tasks:
        signals.task_revoked.send(
            sender=current_app.tasks[request.task], request=request,
            terminated=False, signum=None, expired=expired,
        )  # fmt: skip
