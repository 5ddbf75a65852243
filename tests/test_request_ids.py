"""LOG_FORMAT=json: one id leads from the proxy over the web to the worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures_worker import StartRole, wait_for
from tests.http_client import Visitor
from tests.log_lines import JSON, SECRET, lines, start_web

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_request_and_the_task_that_it_calls_have_one_id(
    start_role: StartRole, tmp_path: Path
) -> None:
    worker = start_role("worker", **JSON, EMAIL_FILE_PATH=str(tmp_path))
    web, port = start_web(start_role, **JSON)

    visitor = Visitor(port, headers={"X-Request-ID": "from-the-proxy-1"})
    answer = visitor.ask_for_link("ann@example.com")
    assert answer.status == 200
    assert answer.headers["X-Request-ID"] == "from-the-proxy-1"
    missing = Visitor(port).request("/nowhere/?token=" + SECRET)
    worker.wait_for_line("send_signup_link[")
    wait_for(lambda: "] succeeded" in worker.output(), "the mail is sent")

    of_web, of_worker = lines(web), lines(worker)
    posted = [line for line in of_web if line.get("method") == "POST"]
    assert [line["request_id"] for line in posted] == ["from-the-proxy-1"]
    assert posted[0].items() >= {
        "logger": "gunicorn.access", "path": "/accounts/signup/", "status": 200, "role": "web",
        "address": "127.0.0.1",
    }.items()  # fmt: skip
    about = [line for line in of_worker if line.get("task", "").endswith("send_signup_link")]
    assert {line["request_id"] for line in about} == {"from-the-proxy-1"}
    assert len({line["task_id"] for line in about}) == 1
    assert [line["event"].rpartition(" ")[2] for line in about] == ["received", "succeeded"]

    # One that came without an id got one: the line of Django and that of gunicorn have it.
    named = [
        line["logger"]
        for line in of_web
        if line.get("request_id") == missing.headers["X-Request-ID"]
    ]
    assert sorted(named) == ["django.request", "gunicorn.access"]
    assert SECRET not in web.output() + worker.output()
