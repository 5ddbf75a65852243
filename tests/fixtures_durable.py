"""What the tests of durable tasks share: short times, a janitor, a table of effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery.result import AsyncResult
from django.db import connection, transaction

from durable.queue.endings.janitor import Janitor
from durable.queue.models import Task
from durable.schedules import broker
from proj.celery import app
from tests import durable_tasks as tasks
from tests.fixtures_worker import free_port

TASKS = {
    "CELERY_IMPORTS": "tests.durable_tasks",
    "DURABLE_HEARTBEAT": "1",
    "DURABLE_DEAD_AFTER": "3",
    "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT": "1",
}


@pytest.fixture
def quick(settings: Any) -> None:
    """The same times for the janitor of this process as for the workers."""
    settings.DURABLE_HEARTBEAT = 1
    settings.DURABLE_DEAD_AFTER = 3
    settings.DURABLE_POLL = 0.1


@pytest.fixture
def effect_table(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(tasks.CREATE)
        cursor.execute("TRUNCATE test_effect")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS test_effect")


@pytest.fixture
def janitor() -> Iterator[Janitor]:
    janitor = Janitor()
    janitor.start()
    yield janitor
    janitor.stop()


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Publish to a port that refuses connections."""
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", f"redis://127.0.0.1:{free_port()}/0")
    broker._forget()
    yield
    broker._forget()


def send(task: Any, labels: list[str], *args: Any) -> list[AsyncResult]:
    with transaction.atomic():
        return [task.delay_on_commit(label, *args) for label in labels]


def names(count: int) -> list[str]:
    return [f"t{number}" for number in range(count)]


def quarantined() -> list[Task]:
    return list(Task.objects.exclude(quarantined_at=None))


def all_done() -> bool:
    return not Task.objects.filter(quarantined_at=None).exists()


def started(folder: Path, count: int) -> Callable[[], list[Path]]:
    """Return the files of the tasks that have started, once there are *count*."""

    def ready() -> list[Path]:
        found = sorted(folder.glob("started-*"))
        return found if len(found) >= count else []

    return ready


def hears() -> bool:
    """Return whether a worker hears what is broadcast: a moment after it says that it is ready."""
    return bool(app.control.ping(timeout=5, limit=1))


def client() -> Any:
    return app.connection_for_write().default_channel.client


def main_process(role: Any) -> psutil.Process:
    return psutil.Process(role.process.pid)
