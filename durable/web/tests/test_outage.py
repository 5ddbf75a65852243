"""The answer while the database is away, and while it is not."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from pytest_django import Settings

from durable.web.api import ANSWERS
from durable.web.outage import DatabaseErrors, answer_to


@pytest.mark.parametrize("templates", [[], None])
def test_an_outage_is_a_503_with_or_without_a_template(
    settings: Settings, templates: list[object] | None
) -> None:
    if templates is not None:
        settings.TEMPLATES = templates
    middleware = DatabaseErrors(lambda request: HttpResponse())
    answer = middleware.process_exception(HttpRequest(), OperationalError("at a secret address"))
    assert answer is not None
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert b"secret" not in answer.content


@pytest.mark.django_db
def test_a_query_that_takes_too_long_is_djangos_500_and_no_outage() -> None:
    with pytest.raises(OperationalError) as caught, transaction.atomic():
        connection.cursor().execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(9)")
    assert answer_to(HttpRequest(), caught.value) is None
    assert ANSWERS[Exception](HttpRequest(), caught.value).status_code == 500


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 503)])
def test_what_only_reads_is_answered_anew_when_a_restart_cuts_it_off(
    method: str, status: int
) -> None:
    ends = [True, False]

    def view(request: HttpRequest) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            if ends.pop(0):
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return HttpResponse()

    def handler(request: HttpRequest) -> HttpResponse:  # as Django's calls the middleware
        try:
            return view(request)
        except OperationalError as error:
            return middleware.process_exception(request, error) or HttpResponse(status=500)

    middleware = DatabaseErrors(handler)
    request = HttpRequest()
    request.method = method
    assert middleware(request).status_code == status


@pytest.mark.django_db(transaction=True)
def test_what_is_cut_off_twice_is_told_so() -> None:
    asked = []

    def handler(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        except OperationalError as error:
            return middleware.process_exception(request, error) or HttpResponse(status=500)
        return HttpResponse()

    middleware = DatabaseErrors(handler)
    request = HttpRequest()
    request.method = "GET"
    assert middleware(request).status_code == 503
    assert len(asked) == 2
