"""A server that takes alerts and pings, and can be told to refuse them."""

from __future__ import annotations

import json
from typing import Any

from durable.tests.receiver import Receiver


class AlertReceiver(Receiver):
    """The alerts of each message that it took."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The JSON of each."""
        return [json.loads(body) for _, body in list(self.bodies)]

    @property
    def said(self) -> list[tuple[str, list[str]]]:
        """Status and alerts of each."""
        return [(each["status"], [one["labels"]["alertname"] for one in each["alerts"]])
                for each in self.messages]  # fmt: skip
