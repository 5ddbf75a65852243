"""Tasks of which each has something to trace; a worker loads them with ``CELERY_IMPORTS``."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from django.contrib.auth import get_user_model

User = get_user_model()

logger = logging.getLogger(__name__)


@shared_task
def first(secret: str) -> str:
    """Ask the database, with the secret."""
    logger.info("I ask")
    User.objects.filter(username=secret).exists()
    return secret


@shared_task
def second(secret: str) -> None:
    """Do nothing."""


@shared_task(bind=True, max_retries=1)
def again(self: Any, secret: str) -> None:
    """Ask for another attempt, once."""
    if not self.request.retries:
        raise self.retry(countdown=0)


@shared_task
def fails(secret: str) -> None:
    """Fail with the secret in the error."""
    raise LookupError(secret)
