"""A line of JSON: what it holds, and what it never does."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from celery.worker.consumer.consumer import (
    INVALID_TASK_ERROR,
    MESSAGE_DECODE_ERROR,
    UNKNOWN_FORMAT,
    UNKNOWN_TASK_ERROR,
)
from django.conf import settings

from durable.logs.context import bind, unbind
from durable.logs.formatter import JsonFormatter
from durable.logs.install import Lines


def formatted(message: object = "hello", *args: Any, name: str = "apps.x", **more: Any) -> Any:
    """Return the line for a record, read as JSON."""
    make = logging.getLogRecordFactory()
    record = make(name, logging.INFO, "file.py", 1, message, args or None, None)
    record.__dict__.update(more)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


def test_a_line_says_when_who_and_what() -> None:
    line = formatted("%s of %d", "one", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {"level": "info", "logger": "apps.x", "event": "one of 2", "role": "manage"}


def test_the_role_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ROLE", "beat")
    assert formatted()["role"] == "beat"


def test_a_message_of_several_lines_is_one_line() -> None:
    assert formatted("a\nb\x1b[31m")["event"] == "a\nb\x1b[31m"


def test_an_exception_is_one_string() -> None:
    try:
        raise ValueError("wrong")
    except ValueError:
        line = formatted(exc_info=sys.exc_info())
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: wrong")


def test_what_is_bound_is_in_the_line_and_what_is_unknown_is_not() -> None:
    before = bind(request_id=None, task_id="t-1", task="a.b")
    line = formatted()
    unbind(before)
    assert (line["task_id"], line["task"]) == ("t-1", "a.b")
    assert "request_id" not in line
    assert "task_id" not in formatted()


def test_only_known_extras_are_shown() -> None:
    line = formatted(status=200, password="hunter2", kwargs="{'password': 'hunter2'}")
    assert line["status"] == 200
    assert "hunter2" not in str(line)


def test_celerys_lines_have_the_tasks_ids_and_neither_arguments_nor_result() -> None:
    data = {
        "id": "t-1", "name": "a.b", "args": "('hunter2',)", "kwargs": "{}", "runtime": 0.5,
        "return_value": "'hunter2'",
    }  # fmt: skip
    line = formatted(
        "Task %(name)s[%(id)s] succeeded in %(runtime)ss: %(return_value)s",
        data, name="celery.app.trace", data=data,
    )  # fmt: skip
    assert line["event"] == "Task a.b[t-1] succeeded"
    assert (line["task_id"], line["task"], line["duration"]) == ("t-1", "a.b", 0.5)
    assert "hunter2" not in str(line)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (UNKNOWN_TASK_ERROR, ("a.b", "hunter2", "hunter2", "{}")),
        (INVALID_TASK_ERROR, ("a.b", "hunter2")),
        (UNKNOWN_FORMAT, ("hunter2",)),
        (MESSAGE_DECODE_ERROR, ("no JSON", "json", "utf-8", "hunter2", "hunter2")),
        ("TaskPool: Apply %s (args:%s kwargs:%s)", ("trace", "hunter2", "hunter2")),
    ],
)
def test_celery_writes_out_no_message(message: str, arguments: tuple[str, ...]) -> None:
    line = formatted(message, *arguments, name="celery.worker.consumer.consumer")
    assert line["event"].startswith(message.partition("%")[0].partition("\n")[0])
    assert "hunter2" not in str(line)


@pytest.mark.parametrize("debug", ["true", "false"])
@pytest.mark.parametrize("name", ["django.request", "apps.x", "py.warnings"])
def test_each_logger_writes_one_line(debug: str, name: str) -> None:
    code = (
        "import django, logging; django.setup();"
        f"logging.getLogger({name!r}).error('here'); raise ValueError('uncaught')"
    )
    env = {**os.environ, "DEBUG": debug, "LOG_FORMAT": "json"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, env=env, capture_output=True, text=True
    )
    written, uncaught = map(json.loads, done.stderr.splitlines())
    assert (written["logger"], written["event"]) == (name, "here")
    assert uncaught["exception"].endswith("ValueError: uncaught")
    assert done.returncode == 1


def test_what_a_command_prints_is_logged_line_by_line(caplog: pytest.LogCaptureFixture) -> None:
    stream = Lines(logging.getLogger("stdout"), logging.INFO)
    with caplog.at_level(logging.INFO):
        stream.write("  Applying 0001...")
        stream.write(" OK\n\nand 100 %\nthe rest")
        stream.close()
    assert caplog.messages == ["Applying 0001... OK", "and 100 %", "the rest"]
