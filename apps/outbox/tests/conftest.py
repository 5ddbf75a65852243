"""What the tests of this app share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.outbox import broker, fastpath
from proj.celery import app
from tests.fixtures_worker import free_port


@pytest.fixture
def eager() -> Iterator[None]:
    """Set ``CELERY_TASK_ALWAYS_EAGER``."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Publish to a port that refuses connections."""
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", f"redis://127.0.0.1:{free_port()}/0")
    broker._forget()
    fastpath.breaker.reset()
    yield
    fastpath.breaker._wake.set()
    fastpath.breaker.reset()
    broker._forget()
