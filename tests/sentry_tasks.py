"""Tasks whose errors go to Sentry; a worker loads them with ``CELERY_IMPORTS``."""

from __future__ import annotations

from celery import shared_task


@shared_task
def parent() -> None:
    """Call a task by a row, and one by a message."""
    child.delay_on_commit("row")
    child.delay("message")


@shared_task
def child(how: str) -> None:
    """Do nothing."""


@shared_task(sensitive=("order",))
def fails(order: str, card: str, number: int) -> None:
    """Fail with what no one has to know."""
    raise LookupError(f"{order} and {card}")
