"""The pages in a real browser, with a real web server and real workers.

``SCREENSHOT_DIR`` keeps the pictures.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Error, Page, expect

from apps.reports.tests.helpers import flights_csv
from durable.accounts.tasks import signup_link
from tests.browser import DESKTOP, PHONE, Eyes, eyes, slow_upload, web_settings
from tests.fixtures_worker import StartRole, wait_for

__all__ = ["eyes", "web_settings"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.django_db(transaction=True),
]

PASSWORD = "correct-horse-9"


def sign_up(page: Page, name: str = "ann") -> None:
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="Sign up").click()
    page.get_by_label("Email").fill(f"{name}@example.com")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    page.goto(signup_link(f"{name}@example.com", ""))
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Your reports")).to_be_visible()


def upload(page: Page, file: Path) -> None:
    page.goto("/")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Upload", exact=True).click()


def watch_progress(page: Page) -> list[int]:
    """Return the numbers of finished parts that the page shows until the report is there."""
    seen: list[int] = []

    def done() -> bool:
        with suppress(Error):  # the page is being loaded anew
            if page.locator(".figures").count():
                return True
            text = page.locator("#progress-text").text_content(timeout=1000) or ""
            if text[:1].isdigit():
                seen.append(int(text.split()[0]))
        page.wait_for_timeout(100)
        return False

    wait_for(done, "the report is there", 600)
    return seen


def test_from_signing_up_to_the_report(eyes: Eyes, start_role: StartRole, tmp_path: Path) -> None:
    file = tmp_path / "flights.csv"
    file.write_bytes(flights_csv())
    page = eyes.open(DESKTOP)
    eyes.look(page.context, "/", "landing", "h1")
    eyes.look(page.context, "/accounts/signup/", "signup", "h1")
    eyes.look(page.context, "/accounts/login/", "login", "h1")
    eyes.look(page.context, "/accounts/reset/", "reset", "h1")
    eyes.look(page.context, signup_link("ann@example.com", ""), "signup-link", "h1")
    sign_up(page)
    eyes.look(page.context, "/", "empty", ".empty")

    # Slow from the start: on a busy machine the whole file would be sent before the cancel.
    with slow_upload(page, 500_000) as limit:
        upload(page, file)
        expect(page.locator("#upload-percent")).to_have_text(re.compile(r"\d\d % of 30 MB"))
        limit(20_000)  # there is time to look
        expect(page.locator("#upload-form")).to_be_hidden()
        eyes.shoot_here(page, "uploading")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#upload-form")).to_be_visible()
    wait_for(lambda: page.goto("/") and page.locator(".empty").count(), "nothing of it is left")
    upload(page, file)
    expect(page.locator("#progress-title")).to_have_text("Waiting for a worker")
    eyes.look(page.context, page.url, "waiting", "#progress-bar")

    # A worker is stopped in the middle of it, for there to be time to look; another goes on.
    worker = start_role("worker", "-c", "1")
    expect(page.locator("#progress-title")).to_have_text("Profiling")
    worker.stop()
    eyes.look(page.context, page.url, "profiling", "#progress-bar")
    start_role("worker", "-c", "2")
    seen = watch_progress(page)
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "the progress never moved"

    expect(page.locator(".figures")).to_contain_text("336,776")
    expect(page.locator("section.column")).to_have_count(19)
    expect(page.locator("section.column svg[role=img]")).to_have_count(14)
    distance = page.locator("section.column", has=page.get_by_role("heading", name="distance"))
    for text in ("integer", "214", "17", "4983", "1039.91", "733.233", "2475"):
        expect(distance).to_contain_text(text)
    eyes.look(page.context, page.url, "report", ".figures")
    eyes.look(page.context, f"{page.url}#column-16", "columns", ".figures")
    eyes.shoot(page, "report-whole", whole=True)

    with page.expect_download() as download:
        page.get_by_role("link", name="Download JSON").click()
    assert download.value.suggested_filename == "flights.report.json"
    assert json.loads(download.value.path().read_text())["result"]["rows"] == 336_776

    eyes.look(page.context, "/", "reports", ".row-name")
    page.get_by_role("link", name="Delete").click()
    eyes.look(page.context, page.url, "delete", "h1")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".note.success")).to_have_text("The report on flights.csv is deleted.")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("main").get_by_role("link", name="Log in")).to_be_visible()
    assert eyes.faults == []


def test_a_bad_file_is_explained_where_it_was_chosen(eyes: Eyes, tmp_path: Path) -> None:
    page = eyes.open(PHONE)
    sign_up(page)
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n3\n")
    upload(page, ragged)
    expect(page.get_by_role("alert")).to_have_text("Line 3 has 1 field, but the header has 2.")
    eyes.shoot(page, "refused-phone-light")
    # The answer's status is an error to the console as well; that one is meant.
    assert [fault for fault in eyes.faults if "422" not in fault] == []

    large = tmp_path / "large.csv"
    large.write_bytes(b"a,b\n" + b"1,2\n" * 11_000_000)
    upload(page, large)
    expect(page.get_by_role("alert")).to_contain_text("the limit here is 40 MB")


def test_everything_works_without_scripts(
    eyes: Eyes, start_role: StartRole, tmp_path: Path
) -> None:
    page = eyes.open(PHONE, java_script_enabled=False)
    sign_up(page)
    file = tmp_path / "people.csv"
    file.write_text("id,name\n1,=HYPERLINK(1)\n2\n")
    upload(page, file)
    expect(page.get_by_role("alert")).to_have_text("Line 3 has 1 field, but the header has 2.")
    eyes.shoot(page, "no-script-refused-phone-light")

    file.write_text("id,name\n1,=HYPERLINK(1)\n2,<b>bold</b>\n")
    upload(page, file)
    expect(page.get_by_role("heading", name="people.csv")).to_be_visible()
    start_role("worker", "-c", "1")
    expect(page.locator(".figures")).to_be_visible()  # by itself, every 2 s
    expect(page.locator("#column-2")).to_contain_text("<b>bold</b>")
    eyes.shoot(page, "no-script-report-phone-light")


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("root", "root@example.com", PASSWORD)


def test_the_pages_around_it(admin: User, eyes: Eyes) -> None:
    page = eyes.open(DESKTOP)
    eyes.look(page.context, "/api/docs", "docs", ".opblock", strict=False)
    expect_operations(eyes)
    eyes.look(page.context, "/admin/login/", "admin-login", "#id_username", strict=False)
    page.goto("/admin/login/")
    page.locator("#id_username").fill("root")
    page.locator("#id_password").fill(PASSWORD)
    page.locator("[type=submit]").click()
    page.goto("/admin/reports/report/")
    expect(page.get_by_text("0 reports")).to_be_visible()
    eyes.shoot(page, "admin-reports-desktop-light")
    for name in ("password", "second-factor/setup", "confirm", "tokens"):
        eyes.look(page.context, f"/accounts/{name}/", name.partition("/")[0], "h1")
    page.goto("/admin/durable_accounts/event/")
    expect(page.get_by_text("logged in")).to_be_visible()
    eyes.shoot(page, "admin-audit-desktop-light")
    assert eyes.faults == []

    eyes.look(page.context, "/nothing", "not-found", "h1")
    assert [fault for fault in eyes.faults if "404" not in fault] == []


def expect_operations(eyes: Eyes) -> None:
    page = eyes.open(PHONE)
    page.goto("/api/docs")
    expect(page.locator(".opblock")).to_have_count(5)
    page.locator(".opblock-summary", has_text="Upload a CSV file").click()
    expect(page.get_by_text("CSV in UTF-8 with a header line").first).to_be_visible()
    page.context.close()
