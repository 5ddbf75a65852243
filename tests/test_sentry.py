"""SENTRY_DSN alone: errors without secrets, beat's monitors, traces through rows and messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from durable.schedules.tests.scheduling import periodic

from .fixtures_worker import StartRole, wait_for
from .receiver import TraceReceiver, receiver
from .sentry_tasks import fails

__all__ = ["receiver"]
pytestmark = pytest.mark.django_db(transaction=True)

SECRETS = ("order-4711-4712", "4000-1234-5678")


def test_a_periodic_task_checks_in_its_calls_are_of_one_trace_and_errors_tell_no_secret(
    start_role: StartRole, receiver: TraceReceiver
) -> None:
    env = {
        "CELERY_IMPORTS": "tests.sentry_tasks", "SENTRY_TRACES_SAMPLE_RATE": "1.0",
        "SENTRY_DSN": receiver.url.replace("//", "//key@") + "/1",
    }  # fmt: skip
    periodic(task="tests.sentry_tasks.parent")

    def check_ins(status: str) -> set[str]:
        # A tick that the database has refused is made again, with a check-in of its own; and the
        # tasks that the apps declare have theirs, at their hour.
        return {
            event["check_in_id"] for event in receiver.events()
            if event.get("monitor_slug") == "p" and event["status"] == status
        }  # fmt: skip

    def traces() -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for event in receiver.events():
            if event.get("type") == "transaction":
                trace = event["contexts"]["trace"]
                found.setdefault(event["transaction"], []).append(trace)
        return found

    for role in ("worker", "beat"):
        start_role(role, **env)
    wait_for(lambda: len(traces().get("tests.sentry_tasks.child", ())) == 2, "both calls ran")
    wait_for(lambda: check_ins("ok"), "it has ended")
    assert len(check_ins("ok")) == 1
    wait_for(lambda: check_ins("ok") <= check_ins("in_progress"), "its begin was sent too")
    # Its process sends it after the check-in, and the calls may be quicker.
    wait_for(lambda: "tests.sentry_tasks.parent" in traces(), "its trace was sent")
    (first,), calls = traces()["tests.sentry_tasks.parent"], traces()["tests.sentry_tasks.child"]
    assert {call["trace_id"] for call in calls} == {first["trace_id"]}
    assert all(call["parent_span_id"] for call in calls)

    fails.delay_on_commit(SECRETS[0], card=SECRETS[1], number=7)
    fails.delay(SECRETS[0], card=SECRETS[1], number=8)

    def errors() -> list[dict[str, Any]]:
        return [event for event in receiver.events() if "exception" in event]

    wait_for(lambda: len(errors()) == 2, "both failures were sent")
    numbers = set()
    for error in errors():
        [value] = error["exception"]["values"]
        assert (value["type"], value["value"]) == ("LookupError", "[redacted] and [redacted]")
        job = error["extra"]["celery-job"]
        assert job["args"] == ["[redacted]"]
        assert job["kwargs"]["card"] == "[redacted]"
        numbers.add(job["kwargs"]["number"])
    assert numbers == {7, 8}
    sent = json.dumps([str(body) for body in receiver.bodies])
    assert not [secret for secret in SECRETS if secret in sent]
