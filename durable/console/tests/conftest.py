"""What the tests of the console share."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from durable.console import snapshot
from durable.journal.models import Entry
from tests.fixtures_worker import PATIENCE


@pytest.fixture
def fresh(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No entries of other tests, and no snapshot of theirs; a worker lives by one sign of life."""
    settings.DURABLE_DEAD_AFTER = PATIENCE
    monkeypatch.setattr(snapshot, "STATEMENT_TIMEOUT", PATIENCE * 1000)
    Entry.objects.all().delete()
    monkeypatch.setattr(snapshot.keeper, "_last", None)
    monkeypatch.setattr(snapshot, "KEEP", 0.0)


def read(client: Client, name: str, *args: Any, **query: str) -> str:
    """Return a page of the console."""
    answer = client.get(reverse(f"console:{name}", args=args), query)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()
