"""The JSON API, as a program uses it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from apps.reports.models import Chunk, Report
from apps.reports.uploads import start_upload
from durable.accounts.tokens import create_token

from .helpers import upload, work
from .requests import BAD, SMALL, csv_file, post_unreadable

pytestmark = pytest.mark.django_db


@pytest.fixture
def stranger() -> Client:
    token = create_token(User.objects.create_user("stranger"))
    return Client(headers={"Authorization": f"Bearer {token}"})


def post(api: Client, data: bytes = SMALL, key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post("/api/reports", {"file": csv_file(data)}, headers=headers)


def assert_problem(response: Any, status: int, **members: Any) -> dict[str, Any]:
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert {name: body.get(name) for name in members} == members
    return body


def test_an_upload_is_accepted_and_its_address_leads_to_the_report(api: Client) -> None:
    response = post(api)
    assert response.status_code == 202
    body = response.json()
    assert response["Location"] == f"/api/reports/{body['id']}"
    assert body["status_url"] == f"http://testserver/api/reports/{body['id']}"

    status = api.get(body["status_url"])
    assert status.json()["state"] == "processing"
    assert status.json()["progress"] == {"done": 0, "total": 1}
    assert status.json()["result"] is None
    assert status["Retry-After"] == "1"

    work(Report.objects.get(pk=body["id"]))
    done = api.get(body["status_url"]).json()
    assert done["state"] == "done"
    assert done["progress"] == {"done": 1, "total": 1}
    assert done["result"]["rows"] == 3
    name = done["result"]["columns"][1]
    assert name == {
        "name": "name",
        "type": "text",
        "count": 2,
        "nulls": 1,
        "distinct": 2,
        "distinct_is_estimate": False,
        "min": "ann",
        "max": "bob",
        "mean": None,
        "stddev": None,
        "histogram": None,
        "top": [{"value": "ann", "count": 1}, {"value": "bob", "count": 1}],
        "top_is_estimate": False,
    }
    assert done["result"]["notes"] == []
    assert list(done["result"]["columns"][0]["histogram"][0]) == ["start", "end", "count"]


@pytest.mark.parametrize("token", [{}, {"HTTP_AUTHORIZATION": "Bearer nonsense"}])
def test_without_a_good_token_the_file_is_not_even_read(
    client: Client, token: dict[str, str]
) -> None:
    response = post_unreadable(client, "/api/reports", **token)
    assert_problem(response, 401)
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_session_is_no_token(client: Client, owner: User) -> None:
    """So a page of another site can't make a browser use the API."""
    client.force_login(owner)
    assert_problem(client.get("/api/reports"), 401)


@pytest.mark.parametrize(("data", "code", "status", "line"), BAD)
def test_a_bad_file_is_refused_with_what_is_wrong_and_where(
    api: Client, data: bytes, code: str, status: int, line: int | None
) -> None:
    body = assert_problem(post(api, data), status, code=code, line=line)
    assert body["detail"].endswith((".", '."', "?"))
    assert not Report.objects.exists()
    assert not Chunk.objects.exists()


def test_a_file_that_is_too_large_is_refused(api: Client, settings: Settings) -> None:
    settings.REPORTS_MAX_UPLOAD_MB = 1
    body = assert_problem(post(api, b"a,b\n" + b"1,2\n" * 300_000), 413, code="too_large")
    assert "1 MB" in body["detail"]
    assert not Report.objects.exists()


def test_the_announced_length_is_enough_to_refuse_it(api: Client, settings: Settings) -> None:
    settings.REPORTS_MAX_UPLOAD_MB = 1
    assert_problem(post(api, b"a,b\n" + b"1,2\n" * 600_000), 413, code="too_large")


def test_a_body_that_is_no_form_is_refused(api: Client) -> None:
    assert_problem(api.post("/api/reports", SMALL, "text/csv"), 415)
    assert_problem(api.post("/api/reports", {}, "application/json"), 415)


def test_a_form_without_the_file_is_refused(api: Client) -> None:
    assert_problem(api.post("/api/reports", {"other": csv_file()}), 422, code="missing_file")
    assert_problem(api.post("/api/reports", {"file": "text"}), 422, code="missing_file")


def test_a_broken_form_is_refused(api: Client) -> None:
    assert_problem(api.post("/api/reports", b"x", "multipart/form-data"), 400)


def test_the_same_key_with_the_same_file_gives_the_same_report(api: Client) -> None:
    first, second = post(api, key="k"), post(api, key="k")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert Report.objects.count() == 1


def test_the_same_key_with_another_file_is_refused(api: Client) -> None:
    post(api, key="k")
    response = post(api, SMALL + b"4,dan\n", key="k")
    assert_problem(response, 422, code="idempotency_conflict")
    assert Report.objects.count() == 1


def test_a_key_in_use_is_refused_for_now(api: Client, owner: User) -> None:
    going_on = start_upload(owner, "people.csv", key="k")
    going_on.write(SMALL)
    assert_problem(post(api, key="k"), 409, code="idempotency_in_progress")
    going_on.abort()
    assert post(api, key="k").status_code == 202


def test_a_key_is_ones_own(api: Client, stranger: Client) -> None:
    assert post(api, key="k").json()["id"] != post(stranger, key="k").json()["id"]


def test_a_key_that_is_too_long_is_refused(api: Client) -> None:
    body = assert_problem(post(api, key="k" * 256), 422)
    assert body["errors"][0]["pointer"] == "header/Idempotency-Key"


def test_others_reports_are_not_there(owner: User, stranger: Client) -> None:
    report = upload(owner, SMALL)
    assert_problem(stranger.get(f"/api/reports/{report.pk}"), 404)
    assert_problem(stranger.delete(f"/api/reports/{report.pk}"), 404)
    assert stranger.get("/api/reports").json() == {"items": [], "count": 0}
    assert Report.objects.filter(pk=report.pk).exists()


def test_reports_are_listed_in_pages_newest_first(api: Client, owner: User) -> None:
    ids = [str(upload(owner, SMALL).pk) for _ in range(3)]
    page = api.get("/api/reports?limit=2").json()
    assert [item["id"] for item in page["items"]] == [ids[2], ids[1]]
    assert page["count"] == 3
    assert "result" not in page["items"][0]
    rest = api.get("/api/reports?limit=2&offset=2").json()
    assert [item["id"] for item in rest["items"]] == [ids[0]]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "limit=x"])
def test_a_page_that_cannot_be_is_refused(api: Client, query: str) -> None:
    assert_problem(api.get(f"/api/reports?{query}"), 422)


def test_deleting(api: Client, owner: User) -> None:
    report = upload(owner, SMALL)
    response = api.delete(f"/api/reports/{report.pk}")
    assert (response.status_code, response.content) == (204, b"")
    assert not Report.objects.exists()
    assert not Chunk.objects.exists()
    assert_problem(api.delete(f"/api/reports/{report.pk}"), 404)


def test_an_id_that_is_none(api: Client) -> None:
    assert_problem(api.get(f"/api/reports/{uuid4()}"), 404)
    assert_problem(api.get("/api/reports/1"), 422)


def test_a_failed_report_says_why(api: Client, owner: User) -> None:
    report = upload(owner, SMALL)
    Report.objects.filter(pk=report.pk).update(state=Report.State.FAILED, error="It broke.")
    body = api.get(f"/api/reports/{report.pk}").json()
    assert (body["state"], body["error"], body["result"]) == ("failed", "It broke.", None)
