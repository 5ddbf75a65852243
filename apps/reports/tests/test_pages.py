"""The pages, as a browser without scripts sees them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from apps.reports.models import Chunk, Report
from durable.accounts.tokens import create_token

from .helpers import upload, work
from .requests import BAD, SMALL, csv_file, post_unreadable

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def body(response: Any) -> str:
    return str(response.content.decode())


def test_a_visitor_sees_what_this_is_and_how_to_get_in(client: Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    for text in ("Know a CSV file", "/accounts/signup/", "/accounts/login/", "336,776"):
        assert text in body(response)


def test_an_upload_leads_to_the_page_of_its_report(browser: Client) -> None:
    response = browser.post("/", {"file": csv_file()})
    report = Report.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/reports/{report.pk}/")
    page = body(browser.get(f"/reports/{report.pk}/"))
    assert "Waiting for a worker" in page
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page


def test_the_script_gets_the_address_as_json(browser: Client) -> None:
    response = browser.post("/", {"file": csv_file()}, headers={"Accept": "application/json"})
    report = Report.objects.get()
    assert (response.status_code, response.json()) == (202, {"url": f"/reports/{report.pk}/"})


@pytest.mark.parametrize(("data", "code", "status", "line"), BAD)
def test_a_bad_file_is_explained_on_the_same_page(
    browser: Client, data: bytes, code: str, status: int, line: int | None
) -> None:
    response = browser.post("/", {"file": csv_file(data)})
    assert response.status_code == status
    assert 'role="alert"' in body(response)
    assert line is None or re.search(rf"\bline {line}\b", body(response), re.I)
    assert not Report.objects.exists()


def test_a_bad_file_is_explained_to_the_script(browser: Client) -> None:
    headers = {"Accept": "application/json"}
    response = browser.post("/", {"file": csv_file(b"a,b\n1\n")}, headers=headers)
    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["detail"] == "Line 2 has 1 field, but the header has 2."


def test_a_file_that_is_too_large_is_refused(browser: Client, settings: Settings) -> None:
    settings.REPORTS_MAX_UPLOAD_MB = 1
    response = browser.post("/", {"file": csv_file(b"a,b\n" + b"1,2\n" * 300_000)})
    assert response.status_code == 413
    assert "larger than 1 MB" in body(response)


def test_no_file_at_all_is_explained(browser: Client) -> None:
    response = browser.post("/", {})
    assert response.status_code == 422
    assert "holds no file" in body(response)


def test_a_visitors_upload_is_not_even_read(client: Client) -> None:
    response = post_unreadable(client, "/")
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/")


class TestCsrf:
    @pytest.fixture
    def strict(self, owner: User) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(owner)
        return client

    def test_an_upload_from_another_site_is_not_even_read(self, strict: Client) -> None:
        response = post_unreadable(strict, "/", HTTP_ORIGIN="https://example.org")
        assert response.status_code == 403

    def test_an_upload_without_the_token_leaves_nothing(self, strict: Client) -> None:
        response = strict.post("/", {"file": csv_file()})
        assert response.status_code == 403
        assert "This form is no longer valid" in body(response)
        assert not Report.objects.exists()
        assert not Chunk.objects.exists()

    def test_the_forms_own_token_is_accepted(self, strict: Client) -> None:
        page = body(strict.get("/"))
        form = page[page.index('id="upload-form"') :]
        match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert match
        # In the order of the page: the token comes before the file's bytes.
        assert match.start() < form.index('type="file"')
        fields = {"csrfmiddlewaretoken": match[1], "file": csv_file()}
        assert strict.post("/", fields).status_code == 302


def test_ones_own_reports_are_listed_and_no_others(browser: Client, owner: User) -> None:
    work(upload(owner, SMALL))
    upload(User.objects.create_user("bob"), SMALL)
    page = body(browser.get("/"))
    assert page.count('class="row-name"') == 1
    for text in ("table.csv", "3 rows", "done"):
        assert text in page
    assert re.search(r">(now|[^<]+ ago)</time>", page)


def test_the_list_does_not_grow_in_queries(
    browser: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(25):
        upload(owner, SMALL)
    with django_assert_max_num_queries(5):
        page = body(browser.get("/"))
    assert page.count('class="row-name"') == 20
    assert "Page 1 of 2" in page


@pytest.mark.parametrize("path", ["", "progress.json", "report.json", "delete/"])
def test_others_reports_are_not_there(browser: Client, path: str) -> None:
    report = work(upload(User.objects.create_user("bob"), SMALL))
    assert browser.get(f"/reports/{report.pk}/{path}").status_code == 404
    assert browser.post(f"/reports/{report.pk}/delete/").status_code == 404
    assert Report.objects.filter(pk=report.pk).exists()


@pytest.mark.parametrize("path", ["", "progress.json", "report.json", "delete/"])
def test_a_visitor_is_asked_to_log_in(client: Client, owner: User, path: str) -> None:
    report = upload(owner, SMALL)
    response = client.get(f"/reports/{report.pk}/{path}")
    assert response["Location"] == f"/accounts/login/?next=/reports/{report.pk}/{path}"


def test_the_progress_is_told_to_the_page(browser: Client, owner: User) -> None:
    report = upload(owner, SMALL)
    path = f"/reports/{report.pk}/progress.json"
    progress = {"done": 0, "total": 1}
    assert browser.get(path).json() == {
        "state": "processing",
        "finished": False,
        "progress": progress,
    }
    work(report)
    assert browser.get(path).json() == {
        "state": "done",
        "finished": True,
        "progress": {"done": 1, "total": 1},
    }


def test_a_report_shows_every_column(browser: Client, owner: User) -> None:
    report = work(upload(owner, b"n,word\n" + b"".join(b"%d,w\n" % i for i in range(40))))
    page = body(browser.get(f"/reports/{report.pk}/"))
    assert page.count('<section class="card column"') == 2
    assert '<svg role="img"' in page
    assert "Histogram of n in 20 bins from 0 to 39" in page
    for label in ("Count", "Nulls", "Distinct", "Min", "Max", "Mean", "Std. deviation"):
        assert f"<dt>{label}</dt>" in page


def test_what_cells_and_names_contain_stays_text(browser: Client, owner: User) -> None:
    evil = '<img src=x onerror="alert(1)">'
    formula = "=HYPERLINK(1)"
    data = f'"{evil.replace(chr(34), chr(34) * 2)}",b\n{formula},<b>bold</b>\n'
    report = upload(owner, data.encode())
    Report.objects.filter(pk=report.pk).update(name="<script>alert(1)</script>.csv")
    for path in ("/", f"/reports/{report.pk}/"):
        assert "<script>alert" not in body(browser.get(path))
    work(report)
    page = body(browser.get(f"/reports/{report.pk}/"))
    assert evil not in page
    assert "&lt;img src=x" in page
    assert "<b>bold" not in page
    assert formula in page
    assert "<script>alert" not in page
    assert "<script>alert" not in body(browser.get(f"/reports/{report.pk}/delete/"))


def test_a_failed_report_says_why_and_what_to_do(browser: Client, owner: User) -> None:
    report = upload(owner, SMALL)
    Report.objects.filter(pk=report.pk).update(state=Report.State.FAILED, error="It broke.")
    page = body(browser.get(f"/reports/{report.pk}/"))
    for text in ("No report could be made", "It broke.", "Upload again", str(report.pk)):
        assert text in page
    assert "progress.js" not in page


def test_the_download_is_the_answer_of_the_api(browser: Client, owner: User) -> None:
    report = work(upload(owner, SMALL))
    Report.objects.filter(pk=report.pk).update(name='Über "us".csv')
    response = browser.get(f"/reports/{report.pk}/report.json")
    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"].startswith("attachment; filename*=utf-8''%C3%9Cber")
    headers = {"Authorization": f"Bearer {create_token(owner)}"}
    api = Client().get(f"/api/reports/{report.pk}", headers=headers).json()
    downloaded = json.loads(response.content)
    assert downloaded["result"] == api["result"]
    assert downloaded.keys() == api.keys()


def test_a_report_is_deleted_after_a_question(browser: Client, owner: User) -> None:
    report = upload(owner, SMALL)
    path = f"/reports/{report.pk}/delete/"
    assert "Delete the report on table.csv?" in body(browser.get(path))
    assert Report.objects.filter(pk=report.pk).exists()
    response = browser.post(path, follow=True)
    assert "The report on table.csv is deleted." in body(response)
    assert not Report.objects.exists()


def test_no_page_has_inline_style_or_script(browser: Client, owner: User) -> None:
    """The Content-Security-Policy would block it, in silence."""
    waiting, done = upload(owner, SMALL), work(upload(owner, SMALL))
    paths = ["/", "/nothing", *(f"/reports/{r.pk}/" for r in (waiting, done))]
    for path in [*paths, f"/reports/{done.pk}/delete/", "/accounts/password/"]:
        response = browser.get(path)
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", body(response))
