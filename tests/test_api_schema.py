"""The API is as its own description says: fuzzed by schemathesis, with a valid token.

In this process and within a test's transaction; the examples are the same at every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from apps.reports.uploads import start_upload
from durable.accounts.tokens import create_token
from proj.wsgi import application

pytestmark = pytest.mark.django_db

CONFIG = SchemathesisConfig.from_dict(
    {
        # An unknown query parameter is ignored, as everywhere on the web.
        "generation": {"allow-extra-parameters": False},
        "operations": [
            {
                "include-name": "POST /api/reports",
                # A schema can't say which bytes are a CSV file.
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ["202", "409", "415", "422"]}
                },
            }
        ],
    }
)
schema = schemathesis.openapi.from_wsgi("/api/openapi.json", application, config=CONFIG)


@pytest.fixture
def _one_connection() -> Iterator[None]:
    """Keep the test's connection, and its transaction, over requests, as Django's Client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(_one_connection: None) -> str:
    cache.clear()
    owner = User.objects.create_user("ann", password="correct-horse-9")
    incoming = start_upload(owner, "people.csv")
    incoming.write(b"id,name\n1,ann\n")
    incoming.finish()
    return create_token(owner)


@schema.parametrize()
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    # The second is about time, which a busy machine takes.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_answer_is_one_that_the_description_promises(case: Case[Any], token: str) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"})


def test_every_operation_documents_its_errors_as_problems() -> None:
    for path, operations in schema.raw_schema["paths"].items():
        for method, operation in operations.items():
            errors = {code: r for code, r in operation["responses"].items() if int(code) >= 400}
            assert errors, (method, path)
            for response in errors.values():
                assert list(response["content"]) == ["application/problem+json"], (method, path)
