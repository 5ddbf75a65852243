"""What the tests of JSON logs share: roles that write it, and a reader that takes nothing else."""

from __future__ import annotations

import json
from typing import Any

from tests.fixtures_worker import Role, StartRole, free_port

JSON = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "CELERY_IMPORTS": "tests.log_tasks"}
ALWAYS = {"timestamp", "level", "logger", "event", "role"}
#: What no line may hold.
SECRET = "hunter-and-gatherer-2"


def lines(role: Role) -> list[dict[str, Any]]:
    """Return every line of a role that has been stopped; one that is no JSON fails the test."""
    role.stop()
    found: list[dict[str, Any]] = [json.loads(line) for line in role.output().splitlines()]
    for line in found:
        assert line.keys() >= ALWAYS, line
    return found


def start_web(start_role: StartRole, **variables: str) -> tuple[Role, int]:
    port = free_port()
    web = start_role("web", WEB_BIND=f"127.0.0.1:{port}", WEB_CONCURRENCY="1", **variables)
    web.wait_for_line("Listening at")
    return web, port
