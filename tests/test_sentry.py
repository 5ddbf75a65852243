"""Sentry's monitors of periodic tasks and its traces go through rows as through messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from durable.schedules.tests.scheduling import periodic

from .fixtures_worker import StartRole, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_periodic_task_checks_in_and_its_calls_are_of_one_trace(
    start_role: StartRole, tmp_path: Path
) -> None:
    record = tmp_path / "sentry"
    record.touch()
    env = {"CELERY_IMPORTS": "tests.sentry_tasks", "SENTRY_RECORD": str(record)}
    periodic(task="tests.sentry_tasks.parent")

    def events() -> list[dict[str, Any]]:
        return [json.loads(line) for line in record.read_text().splitlines()]

    def check_ins() -> list[dict[str, Any]]:
        return [event for event in events() if "check_in_id" in event]

    def traces() -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for event in events():
            if event.get("type") == "transaction":
                trace = event["contexts"]["trace"]
                found.setdefault(event["transaction"], []).append(trace)
        return found

    for role in ("worker", "beat"):
        start_role(role, **env)
    wait_for(lambda: len(traces().get("tests.sentry_tasks.child", ())) == 2, "both calls ran")
    wait_for(lambda: len(check_ins()) == 2, "it has ended")
    (begun, ended) = check_ins()
    assert (begun["status"], ended["status"]) == ("in_progress", "ok")
    assert begun["check_in_id"] == ended["check_in_id"]
    (first,), calls = traces()["tests.sentry_tasks.parent"], traces()["tests.sentry_tasks.child"]
    assert {call["trace_id"] for call in calls} == {first["trace_id"]}
    assert all(call["parent_span_id"] for call in calls)
