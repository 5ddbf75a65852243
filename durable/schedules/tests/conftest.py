"""A beat in this process, whose ticks a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app as app
from django.db import connection
from pytest_django import Settings

from durable.database import locks
from durable.schedules.scheduler import DatabaseScheduler
from tests.fixtures_worker import purge_queues, wait_for

from .scheduling import StartBeat


@pytest.fixture
def heartbeat(settings: Settings, tmp_path: Path) -> Path:
    settings.HEARTBEAT_DIR = str(tmp_path)
    return tmp_path / "proj-beat.heartbeat"


@pytest.fixture
def no_messages() -> Iterator[None]:
    purge_queues()
    yield
    purge_queues()


def _is_free() -> bool:
    with connection.cursor() as cursor:
        return locks.holder(cursor, locks.LEADER) is None


@pytest.fixture
def beat(heartbeat: Path, no_messages: None) -> Iterator[StartBeat]:
    """Start a beat; each in the place of the one before."""
    running: list[DatabaseScheduler] = []

    def start(**options: Any) -> DatabaseScheduler:
        while running:
            running.pop().close()
            wait_for(_is_free, "the server has noticed, and another beat can lead")
        running.append(DatabaseScheduler(app, **options))
        return running[-1]

    yield start
    for scheduler in running:
        scheduler.close()
