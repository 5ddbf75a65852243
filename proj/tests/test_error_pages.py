"""What a person sees when something goes wrong; no page of these may fail itself."""

from __future__ import annotations

from typing import NoReturn

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InternalError, OperationalError
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import path
from django.views.decorators.csrf import csrf_protect
from psycopg.errors import ReadOnlySqlTransaction
from pytest_django import DjangoAssertNumQueries, Settings

from proj.api import api
from proj.urls import urlpatterns as _urlpatterns


def _fail(error: Exception) -> NoReturn:
    raise error


@csrf_protect
def _form(request: HttpRequest) -> NoReturn:
    raise AssertionError("the token was not checked")


def _only_reads() -> Exception:
    """Return the error of a server that is a replica by now."""
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = ReadOnlySqlTransaction()
    return error


urlpatterns = [
    *_urlpatterns,
    path("fails/400/", lambda request: _fail(SuspiciousOperation("odd"))),
    path("fails/403/", lambda request: _fail(PermissionDenied("no"))),
    path("fails/500/", lambda request: _fail(RuntimeError("a secret in the message"))),
    path("fails/503/", lambda request: _fail(OperationalError("no server at a secret address"))),
    path("fails/replica/", lambda request: _fail(_only_reads())),
    path("fails/form/", _form),
]


@pytest.fixture
def visitor(settings: Settings) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (400, "The request was not understood"),
        (403, "No access"),
        (404, "Page not found"),
        (500, "Something went wrong here"),
        (503, "The database is away for a moment"),
    ],
)
def test_an_error_has_a_page_that_leads_on(visitor: Client, status: int, title: str) -> None:
    response = visitor.get(f"/fails/{status}/")
    page = response.content.decode()
    assert response.status_code == status
    assert f"<h1>{title}</h1>" in page
    assert 'href="/"' in page
    assert "secret" not in page


@pytest.mark.parametrize("status", [500, 503])
def test_the_page_for_a_failure_needs_no_database(
    visitor: Client, db: None, django_assert_num_queries: DjangoAssertNumQueries, status: int
) -> None:
    """The database may be what failed."""
    with django_assert_num_queries(0):
        response = visitor.get(f"/fails/{status}/", headers={"Cookie": "sessionid=x"})
    assert response.status_code == status


def test_a_page_without_a_database_says_when_to_come_back(visitor: Client) -> None:
    assert int(visitor.get("/fails/503/").headers["Retry-After"]) > 0


def test_after_a_failover_to_a_server_that_only_reads_visitors_come_back_later(
    visitor: Client, rf: RequestFactory
) -> None:
    assert visitor.get("/fails/replica/").status_code == 503
    assert api.on_exception(rf.get("/api/v1/reports"), _only_reads()).status_code == 503


def test_a_form_without_its_token_is_explained(visitor: Client) -> None:
    response = visitor.post("/fails/form/")
    assert response.status_code == 403
    assert "This form is no longer valid" in response.content.decode()
