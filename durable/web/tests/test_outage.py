"""The answer while the database is away, in a project that has no page for it."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from pytest_django import Settings

from durable.web.outage import DatabaseErrors


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
