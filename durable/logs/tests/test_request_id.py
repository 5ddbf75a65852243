"""A request's id: where it comes from, and where it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty
from typing import Any

import pytest
from celery import current_app as app
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from kombu.utils.json import loads
from structlog.contextvars import get_contextvars

from durable.logs.context import bind, current, sane, unbind
from durable.logs.middleware import RequestIdMiddleware
from durable.queue.models import Task
from tests import log_tasks as tasks
from tests.fixtures_worker import purge_queues


@pytest.fixture
def asked() -> Iterator[None]:
    """Be in a request whose id is ``asked-for``."""
    before = bind(request_id="asked-for")
    yield
    unbind(before)


def carried() -> list[Any]:
    """Take the messages and the rows that wait; return the request's id that each carries."""
    found = [loads(headers) for headers in Task.objects.values_list("headers", flat=True)]
    with app.connection_for_read() as broker, suppress(Empty):
        while True:
            message = broker.SimpleQueue("default").get_nowait()
            message.ack()
            found.append(message.headers)
    return [headers.get("request_id") for headers in found]


@pytest.mark.parametrize(
    "given",
    ["7b0c1a52-9d1e-4f6b-8e3f-0f2f6f0b7a11", "Root=1-67891233-abcdef", "a", "x" * 128, "aGk+/w=="],
)
def test_an_id_from_a_proxy_is_kept(given: str) -> None:
    answer = Client().get("/livez", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    ["", "x" * 129, "two words", "a\nb", "a\n", "\x1b[31m", "é", "<b>", "a,b", '"', "${jndi}"],
)
def test_anything_else_is_replaced(given: str) -> None:
    answer = Client().get("/livez", headers={"X-Request-ID": given})
    made = answer.headers["X-Request-ID"]
    assert made != given
    assert sane(made)


def test_two_requests_get_two_ids() -> None:
    first, second = (Client().get("/livez").headers["X-Request-ID"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("value", [None, 7, ["a"], b"a"])
def test_what_is_no_text_is_no_id(value: Any) -> None:
    assert sane(value) is None


def test_the_id_is_bound_within_the_request_alone() -> None:
    seen: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(get_contextvars().get("request_id"))
        return HttpResponse()

    answer = RequestIdMiddleware(view)(RequestFactory().get("/"))
    assert seen == [answer.headers["X-Request-ID"]]
    assert "request_id" not in get_contextvars()


def test_nothing_is_left_of_a_request_that_raises() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise LookupError

    with pytest.raises(LookupError):
        RequestIdMiddleware(view)(RequestFactory().get("/"))
    assert "request_id" not in get_contextvars()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nowhere/", "/api/nowhere"])
def test_an_error_has_the_header_as_well(path: str) -> None:
    assert Client().get(path, headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"


@pytest.mark.django_db(transaction=True)
class TestCalls:
    @pytest.fixture(autouse=True)
    def empty(self) -> None:
        purge_queues()

    @pytest.mark.usefixtures("asked")
    @pytest.mark.parametrize("call", ["delay", "delay_on_commit"])
    def test_a_task_that_is_called_carries_the_id(self, call: str) -> None:
        getattr(tasks.says, call)("a word")
        assert carried() == ["asked-for"]

    @pytest.mark.usefixtures("asked")
    def test_it_names_the_user_that_the_request_has_looked_up(self) -> None:
        request = HttpRequest()
        request.session = SessionStore()
        request.session[SESSION_KEY] = "7"
        request.session.accessed = False
        before = current.set(request)
        try:
            tasks.says.delay_on_commit("a word")
            assert request.session[SESSION_KEY]
            tasks.says.delay_on_commit("a word")
        finally:
            current.reset(before)
        found = Task.objects.order_by("id").values_list("headers", flat=True)
        assert [loads(headers).get("user") for headers in found] == [None, "7"]

    @pytest.mark.parametrize("call", ["delay", "delay_on_commit"])
    def test_without_a_request_there_is_none(self, call: str) -> None:
        getattr(tasks.says, call)("a word")
        assert carried() == [None]

    @pytest.mark.usefixtures("asked")
    @pytest.mark.parametrize("call", ["apply_async", "apply_async_on_commit"])
    def test_the_headers_of_a_caller_stay(self, call: str) -> None:
        headers = {"mine": 1, "request_id": "another"}
        getattr(tasks.says, call)(("a word",), headers=headers)
        assert carried() == ["another"]
