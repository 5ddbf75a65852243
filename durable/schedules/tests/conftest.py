"""A beat in this process, whose ticks a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app as app
from pytest_django import Settings

from durable.schedules import broker, leader
from durable.schedules.scheduler import DatabaseScheduler
from tests.fixtures_worker import PATIENCE, purge_queues, wait_for

from .scheduling import StartBeat, is_free, step_down


@pytest.fixture
def heartbeat(settings: Settings, tmp_path: Path) -> Path:
    settings.HEARTBEAT_DIR = str(tmp_path)
    return tmp_path / "proj-beat.heartbeat"


@pytest.fixture
def no_messages() -> Iterator[None]:
    purge_queues()
    yield
    purge_queues()


@pytest.fixture
def patient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a beat, or a broker, that gets no time of the machine be none that is away."""
    settings.BEAT_LEADER_TIMEOUT = PATIENCE
    monkeypatch.setattr(leader, "CONNECT_TIMEOUT", PATIENCE)
    settings.BEAT_PUBLISH_TIMEOUT = 2.0 * PATIENCE
    monkeypatch.setattr(broker, "_pool", None)  # made with the time that it was


@pytest.fixture
def beat(heartbeat: Path, no_messages: None, patient: None) -> Iterator[StartBeat]:
    """Start a beat; each in the place of the one before."""
    running: list[DatabaseScheduler] = []
    wait_for(is_free, "the server has noticed that the test before has ended")

    def start(**options: Any) -> DatabaseScheduler:
        while running:
            step_down(running.pop())
        running.append(DatabaseScheduler(app, **options))
        return running[-1]

    yield start
    for scheduler in running:
        scheduler.close()
