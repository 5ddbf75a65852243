"""A receiver, to which the settings lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .receiver import AlertReceiver

#: Of a URL as services give it: who knows it can write there.
SECRET = "T0P-S3CRET"


@pytest.fixture
def receiver(settings: Any) -> Iterator[AlertReceiver]:
    with AlertReceiver() as found:
        settings.ALERT_URL = f"{found.url}/services/{SECRET}"
        settings.HEARTBEAT_PING_URL = f"{found.url}/ping/{SECRET}"
        yield found
