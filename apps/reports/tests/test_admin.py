"""Reports in the admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.reports.models import Chunk, Report

from .helpers import upload, work
from .requests import SMALL

LIST = "/admin/reports/report/"


@pytest.fixture
def report(owner: User) -> Report:
    return work(upload(owner, SMALL))


def statements(client: Client, path: str, data: dict[str, str] | None = None) -> str:
    """Return the SQL of a request that must succeed."""
    with CaptureQueriesContext(connection) as queries:
        response = client.post(path, data) if data else client.get(path)
    assert response.status_code == (302 if data and "post" in data else 200)
    return "\n".join(query["sql"] for query in queries)


@pytest.mark.parametrize(
    "query", ["", "?q=table", "?q=ann", "?state__exact=done", "?created_at__year=2020"]
)
def test_reports_can_be_searched_and_filtered_without_loading_what_is_large(
    admin_client: Client, report: Report, query: str
) -> None:
    sql = statements(admin_client, LIST + query)
    assert "reports_chunk" not in sql
    assert '"reports_report"."result"' not in sql


def test_a_report_is_shown_and_cannot_be_changed(admin_client: Client, report: Report) -> None:
    path = f"{LIST}{report.pk}/change/"
    sql = statements(admin_client, path)
    assert "reports_chunk" not in sql
    assert '"reports_report"."result"' not in sql
    assert admin_client.post(path, {"name": "other"}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403


def test_deleting_loads_no_chunk(admin_client: Client, owner: User) -> None:
    waiting = upload(owner, SMALL)
    path = f"{LIST}{waiting.pk}/delete/"
    assert '"reports_chunk"."data"' not in statements(admin_client, path)
    assert '"reports_chunk"."data"' not in statements(admin_client, path, {"post": "yes"})
    assert not Report.objects.exists()
    assert not Chunk.objects.exists()


def test_several_can_be_deleted_at_once(admin_client: Client, owner: User) -> None:
    reports = [upload(owner, SMALL) for _ in range(2)]
    chosen = {"action": "delete_selected", "_selected_action": [str(r.pk) for r in reports]}
    response = admin_client.post(LIST, chosen | {"post": "yes"})
    assert response.status_code == 302
    assert not Report.objects.exists()


def test_only_staff_gets_in(client: Client, report: Report) -> None:
    client.force_login(report.owner)
    assert client.get(LIST)["Location"].startswith("/admin/login/")
