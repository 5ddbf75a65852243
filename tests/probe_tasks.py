"""Tasks that only tests run; a worker loads them with ``CELERY_IMPORTS=tests.probe_tasks``."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection


@shared_task
def add(x: int, y: int) -> int:
    """Return the sum."""
    return x + y


@shared_task
def backend_pid() -> int:
    """Return the id of the PostgreSQL backend that serves this task."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@shared_task(soft_time_limit=1, atomic=False)
def cleans_up() -> int:
    """Ask PostgreSQL for too much, and return the id of the backend that answers after it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(600)")
    except SoftTimeLimitExceeded:
        return int(backend_pid.run())
    return 0


@shared_task(bind=True)
def where(self: Any) -> dict[str, Any]:
    """Return where and how the task runs."""
    return {
        "pid": os.getpid(),
        "queue": self.request.delivery_info["routing_key"],
        "class": type(self).__mro__[1].__qualname__,
    }


@shared_task
def hold(seconds: float) -> None:
    """Hold a slot of the worker."""
    time.sleep(seconds)


@shared_task
def gate(folder: str) -> int:
    """Say in *folder* that it runs, wait until the test puts ``go`` there; return how often.

    Not to be stopped by a soft time limit.
    """
    runs = Path(folder, "runs")
    with runs.open("a") as file:
        file.write("x")
    while not Path(folder, "go").exists():
        with suppress(SoftTimeLimitExceeded):
            time.sleep(0.02)
    return len(runs.read_text())
