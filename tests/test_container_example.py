"""The example on the compose stack: who signs up gets a mail, and what is uploaded is counted."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest

from .containers import Stack, wait_until
from .flights import assert_flights
from .http_client import Answer, Visitor
from .test_container_stack import scale, started

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

PASSWORD = secrets.token_urlsafe(16)


@pytest.fixture(scope="session")
def visitor(stack: Stack) -> Visitor:
    """Return someone who signed up by the form and has a token."""
    visitor = Visitor(stack.port)
    assert visitor.ask_for_link("ada@example.com").status == 200
    link = wait_until(lambda: re.search(r"http://\S+/signup/\S+", newest_mail(stack)), "the mail")
    assert visitor.sign_up(link[0], "ada", PASSWORD).status == 200
    visitor.log_in("ada", PASSWORD)
    return visitor


def newest_mail(stack: Stack) -> str:
    return str(stack.run("deploy/compose/newest-mail").stdout)


def result_of(visitor: Visitor, upload: Answer) -> dict[str, Any]:
    """Return the result of the report that *upload* started, once it is there."""
    url = upload.json()["status_url"]

    def result() -> dict[str, Any] | None:
        report: dict[str, Any] = visitor.request(url).json()
        assert report["state"] != "failed", report
        found: dict[str, Any] | None = report.get("result")
        return found

    done: dict[str, Any] = wait_until(result, f"{url} has a result", 600)
    return done


def busy(stack: Stack) -> set[str]:
    """Return the workers whose logs tell of a profiled chunk."""
    lines = stack.compose("logs", "worker").stdout.splitlines()
    return {line.split()[0] for line in lines if "profile_chunk" in line and "succeeded" in line}


def test_who_signs_up_gets_a_mail_that_can_be_looked_at(stack: Stack, visitor: Visitor) -> None:
    wait_until(lambda: "Subject: Welcome" in newest_mail(stack), "the welcome mail")


def test_flights_are_counted_right_while_workers_come_and_go(
    stack: Stack, visitor: Visitor, flights: bytes
) -> None:
    scale(stack, 1)  # whatever another test has made of it
    first_worker = started(stack)
    assert len(first_worker) == 1

    uploads = [visitor.upload("flights.csv", flights)]
    assert scale(stack, 4).stdout.splitlines()[-1] == "4 workers consume (1 before)"
    assert first_worker.items() <= started(stack).items(), "the first one was started again"
    uploads.append(visitor.upload("flights.csv", flights))
    wait_until(lambda: len(busy(stack)) > 1, "more than one worker takes part")
    assert scale(stack, 1).stdout.splitlines()[-1] == "1 worker consumes (4 before)"
    assert started(stack) == first_worker

    for answer in uploads:
        assert answer.status == 202, answer.text
        assert_flights(result_of(visitor, answer), flights)
