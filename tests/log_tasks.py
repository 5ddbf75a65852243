"""Tasks that log; a worker loads them with ``CELERY_IMPORTS=tests.log_tasks``."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from django.db import connection

logger = logging.getLogger(__name__)


@shared_task
def says(word: str) -> str:
    """Log one line, and return what no log has to know."""
    logger.info("I speak")
    return word


@shared_task
def passes_on(word: str) -> None:
    """Log, print, and call another task in both ways."""
    logger.info("I pass on")
    print("I print")
    says.delay(word)
    says.delay_on_commit(word)


@shared_task
def breaks(word: str) -> None:
    """Fail, with an argument that no log has to know."""
    raise ValueError("broken")


@shared_task(sensitive=("word",))
def tells(word: str) -> None:
    """Log a secret argument, and fail with it."""
    logger.warning("I tell %s", word)
    raise ValueError(f"not {word}")


@shared_task
def asks() -> str:
    """Return a statement as PostgreSQL has got it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_query()")
        return str(cursor.fetchone()[0])


@shared_task(bind=True, max_retries=1)
def tries_again(self: Any) -> None:
    """Log, and ask for another run once."""
    logger.info("I try")
    if not self.request.retries:
        raise self.retry(countdown=0)
