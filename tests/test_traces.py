"""OpenTelemetry: a request, its rows, their attempts and queries are one trace, in every pool."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest

from durable.environment.reader import ConfigurationError, Reader
from durable.queue.models import Task
from durable.telemetry import conf

from .fixtures_worker import ROOT, Role, StartRole, wait_for
from .log_lines import start_web
from .receiver import Span, TraceReceiver, receiver, silent

__all__ = ["receiver", "silent"]

SECRET = "hunter-and-gatherer-2"
POOLS = ("prefork", "threads", "solo", "batch")
#: So late that what arrives was delivered by the end of a process.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}


def start_page(start_role: StartRole, **env: str) -> tuple[Role, int]:
    return start_web(start_role, DJANGO_SETTINGS_MODULE="tests.traced.settings", **env)


def ask(port: int, *queues: str) -> None:
    """Have the page call its tasks for *queues*."""
    address = f"http://127.0.0.1:{port}/call/{SECRET}?queues={','.join(queues)}"
    with urlopen(address, timeout=60) as answer:
        assert answer.status == 200


def workers(start_role: StartRole, *pools: str, **env: str) -> dict[str, Role]:
    """Start a worker of each pool, which takes from a queue of that name."""
    common = {"CELERY_IMPORTS": "tests.traced.tasks", "CELERY_WORKER_CONCURRENCY": "1", **env}
    return {
        pool: start_role("worker", WORKER_BATCH="10", WORKER_QUEUES=pool, **common)
        if pool == "batch"
        else start_role("worker", f"--pool={pool}", WORKER_QUEUES=pool, **common)
        for pool in pools
    }


@pytest.mark.django_db(transaction=True)
def test_from_a_request_to_the_queries_of_each_attempt_it_is_one_trace(
    start_role: StartRole, receiver: TraceReceiver
) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "LOG_FORMAT": "json", **LATE}
    web, port = start_page(start_role, **env)
    ask(port, *POOLS)
    running = workers(start_role, *POOLS, **env)
    wait_for(lambda: not Task.objects.exists(), "all rows have ended")
    for pool, worker in running.items():
        if pool != "batch":  # the plain one
            wait_for(lambda: ended(worker, "second") == 2, f"{pool} ran all")  # noqa: B023
    assert [role.stop() for role in (web, *running.values())] == [0] * 5

    spans = receiver.spans()
    [request] = [span for span in spans if span.name == "GET /call/<str:secret>"]
    assert {span.trace for span in spans} == {request.trace}
    assert {span.service for span in spans} == {"proj-web", "proj-worker"}
    for pool, worker in running.items():
        one_trace(spans, request, pool)
        [line] = [json.loads(each) for each in worker.output().splitlines() if "I ask" in each]
        [asked] = attempts(spans, pool, "first")
        assert (line["trace_id"], line["span_id"]) == (asked.trace, asked.id)
    assert SECRET not in str(receiver.bodies)


def ended(worker: Role, task: str) -> int:
    """Return how often a worker says that *task* has ended well."""
    return len(re.findall(rf"\.{task}\[[^]]+\] succeeded", worker.output()))


def attempts(spans: list[Span], pool: str, task: str) -> list[Span]:
    return [
        span
        for span in spans
        if span.name == f"process tests.traced.tasks.{task}"
        and span.attributes["messaging.destination.name"] == pool
    ]


def one_trace(spans: list[Span], request: Span, pool: str) -> None:
    """Hold the spans of one queue to their tree."""
    by_id = {span.id: span for span in spans}
    own: Callable[[str, str], list[Span]] = lambda name, parent: [  # noqa: E731
        span for span in spans if (span.name, span.parent) == (name, parent)
    ]
    [asked] = attempts(spans, pool, "first")
    called = by_id[asked.parent]
    assert (called.name, called.parent) == ("send tests.traced.tasks.first", request.id)
    assert len(own("INSERT", called.id)) == 1
    [query] = [span for span in own("SELECT", asked.id) if "auth_user" in str(span.attributes)]
    assert query.attributes["db.query.text"].endswith('"auth_user"."username" = %s LIMIT 1')
    # The chain goes on from the attempt, and a plain task from the request.
    following = {by_id[span.parent].parent for span in attempts(spans, pool, "second")}
    assert following == {asked.id} | ({request.id} if pool != "batch" else set())
    tries = sorted(attempts(spans, pool, "again"), key=lambda one: one.attributes["celery.retries"])
    assert [one.attributes["celery.state"] for one in tries] == ["RETRY", "SUCCESS"]
    assert len({one.parent for one in tries}) == 1
    [failure] = attempts(spans, pool, "fails")
    assert (failure.failed, failure.attributes["error.type"]) == (True, "builtins.LookupError")


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_never_answers_holds_up_no_request_no_task_and_no_stop(
    start_role: StartRole, silent: TraceReceiver
) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": silent.url, "OTEL_BSP_SCHEDULE_DELAY": "10"}
    [worker] = workers(start_role, "prefork", **env).values()
    web, port = start_page(start_role, **env)
    ask(port, "prefork")
    wait_for(silent.asked.is_set, "something was sent")
    ask(port, "prefork")
    wait_for(lambda: not Task.objects.exists(), "all rows have ended")
    assert (web.stop(), worker.stop()) == (0, 0)


def test_without_a_setting_nothing_of_it_is_even_imported() -> None:
    code = """
import sys
import django
django.setup()
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from proj.celery import app
app.loader.import_default_modules()
WSGIHandler()
found = [name for name in sys.modules if name.startswith(("opentelemetry", "sentry_sdk"))]
assert not found, found
assert not connection.execute_wrappers
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, check=True)


@pytest.mark.parametrize(
    ("setting", "value", "missing", "extra"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", "opentelemetry", "otel"),
        ("SENTRY_DSN", "https://key@sentry.example.com/1", "sentry_sdk", "sentry"),
    ],
)
def test_a_setting_whose_extra_is_not_installed_says_which(
    setting: str, value: str, missing: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import django; django.setup()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, setting: value},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"pip install 'django-celery-durable[{extra}]'" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:port"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key: hidden"),
        ("OTEL_TRACES_SAMPLER_ARG", "10"),
        ("SENTRY_DSN", "https://sentry.example.com"),
    ],
)
def test_a_wrong_value_is_named_at_the_start(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}=") as error:
        conf.given(Reader({name: value}))
    assert "hidden" not in str(error.value)
