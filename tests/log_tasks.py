"""Tasks that log; a worker loads them with ``CELERY_IMPORTS=tests.log_tasks``."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

from durable.queue.worker.task import DurableTask

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


class Tells(DurableTask):
    """Logs a secret argument, and fails with it, once the task has failed."""

    abstract = True

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Log and raise."""
        logger.warning("I have failed with %s", args[0])
        raise ValueError(f"nor {args[0]}")


@shared_task(base=Tells, sensitive=("word",), soft_time_limit=1, time_limit=2)
def hangs(word: str) -> None:
    """Run beyond the time limit."""
    while True:
        with suppress(SoftTimeLimitExceeded):
            time.sleep(60)


@shared_task(bind=True, sensitive=("word",))
def loses(self: Any, word: str) -> None:
    """Lose the database, and tell of it with a secret argument; the second time, do nothing."""
    if not word or self.request.delivery_info["redelivered"]:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    except Exception as error:
        raise ValueError(f"away with {word}") from error


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
