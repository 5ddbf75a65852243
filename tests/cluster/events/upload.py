"""The example's own work, through the Service, with every total compared."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

from ... import flights
from ...chaos.engine import ChaosError, wait_until
from ...chaos.fault import FaultOn, SceneOn
from ...chaos.target import Target
from ...http_client import Visitor

CREATE = (
    "from django.contrib.auth import get_user_model as model;"
    "model().objects.create_user({name!r}, password={password!r})"
)


def log_in(stack: Target) -> Visitor:
    """Return somebody with an account."""
    name, password = f"flo-{secrets.token_hex(3)}", secrets.token_urlsafe(16)
    stack.manage(CREATE.format(name=name, password=password))
    visitor = Visitor(stack.port, stack.host, stack.headers)
    visitor.log_in(name, password)
    return visitor


def upload_flights(stack: Target, seconds: float = 240) -> None:
    """Upload every flight from New York in 2013, and compare each total of the report.

    :raises ChaosError: it wasn't accepted, or isn't done within *seconds*.
    :raises AssertionError: a total is wrong.
    """
    visitor = log_in(stack)
    content = flights.read()
    answer = visitor.upload("flights.csv", content)
    if answer.status != 202:
        raise ChaosError(f"the upload was answered by {answer.status}: {answer.text[:500]}")
    path = urlsplit(answer.json()["status_url"]).path

    def result() -> Any:
        report = visitor.request(path).json()
        return report.get("result") or report["state"] == "failed"

    found = wait_until(result, f"{path} has a result", seconds)
    if found is True:
        raise ChaosError(f"{path} failed")
    flights.assert_flights(found, content)


class Uploaded(FaultOn[Any]):
    """Somebody uses it."""

    name = "csv-uploaded"
    what = "336,776 flights (31 MB) are uploaded; every total of the report is right"

    def inject(self, scene: SceneOn[Any]) -> None:
        upload_flights(scene.stack)
