"""What the tests of this app share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proj.celery import app


@pytest.fixture
def eager() -> Iterator[None]:
    """Set ``CELERY_TASK_ALWAYS_EAGER``."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False
