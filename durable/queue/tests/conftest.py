"""What the tests of this app share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durable.database import locks
from durable.queue import store
from durable.queue.endings import quarantine
from proj.celery import app
from tests.fixtures_worker import wait_for


@pytest.fixture
def eager() -> Iterator[None]:
    """Set ``CELERY_TASK_ALWAYS_EAGER``."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.fixture
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pause of what is tried again not end by itself, however slow the machine is."""
    monkeypatch.setattr(quarantine, "uniform", lambda *_: 3600)


@pytest.fixture
def only_janitor(transactional_db: None) -> None:
    """Wait until no other one looks, for which this one would not: of a worker that was killed."""
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::int8 = %s"
    wait_for(lambda: not store.run(held, [locks.JANITOR]), "the server has noticed its end")
