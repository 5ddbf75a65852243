"""A receiver, to which the settings lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from durable.alerts import send
from durable.metrics import gauges
from tests.fixtures_worker import PATIENCE

from .receiver import AlertReceiver

#: Of a URL as services give it: who knows it can write there.
SECRET = "T0P-S3CRET"


@pytest.fixture
def receiver(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[AlertReceiver]:
    monkeypatch.setattr(send, "TIMEOUT", PATIENCE)
    monkeypatch.setattr(gauges, "STATEMENT_TIMEOUT", PATIENCE * 1000)
    with AlertReceiver() as found:
        settings.ALERT_URL = f"{found.url}/services/{SECRET}"
        settings.HEARTBEAT_PING_URL = f"{found.url}/ping/{SECRET}"
        yield found
