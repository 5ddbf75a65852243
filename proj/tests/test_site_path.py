"""A site below a path, by one variable: a real web role, as a proxy asks it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlencode

import pytest
from celery import Task
from django.contrib.auth import get_user_model
from django.urls import resolve, reverse
from pytest_django import Settings

from proj.celery import app
from tests.fixtures_worker import StartRole, free_port

User = get_user_model()


class Link(Task):  # type: ignore[misc]
    name = "proj.tests.link"
    ignore_result = True

    def run(self) -> str:
        return reverse("admin:index")


class Browser:
    """Asks a server; follows nothing, so that a redirect can be looked at, and keeps cookies."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.paths: set[str] = set()

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST" if form else "GET", path, urlencode(form or {}), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, value = cookie.partition(";")[0].split("=", 1)
            self.cookies[name] = value
            self.paths |= set(re.findall(r"[Pp]ath=([^;]+)", cookie))
        return answer, text


@pytest.mark.django_db(transaction=True)
def test_all_of_a_site_is_below_its_path(start_role: StartRole) -> None:
    User.objects.create_superuser("ada", password="a-good-password")
    port = free_port()
    start_role("web", WEB_BIND=f"127.0.0.1:{port}", SITE_PATH="/app/").wait_for_line("Booting")
    browser = Browser(port)

    # Whether the proxy has taken the path off (the first three) or not. Without an app that has a
    # start page, / leads to the admin.
    for path in ("/livez", "/", "/admin/login/", "/app/livez", "/app/", "/app/no-such-page"):
        answer, page = browser.ask(path)
        if path in ("/", "/app/") and resolve("/").url_name == "start":
            assert (answer.status, answer.getheader("Location")) == (302, "/app/admin/")
            continue
        assert answer.status == (404 if path.endswith("page") else 200), path
        links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
        assert [link for link in links if not link.startswith("/app/")] == [], path
    assert browser.ask("/application/")[0].status == 404

    page = browser.ask("/app/accounts/login/")[1]
    [sheet] = set(re.findall(r'href="(/app/static/proj/app[^"]*css)"', page))
    assert browser.ask(sheet)[0].getheader("Content-Type", "").startswith("text/css")
    assert "/app/api/openapi.json" in browser.ask("/app/api/docs")[1]
    assert '"/app/api/token"' in browser.ask("/app/api/openapi.json")[1]

    answer, _ = browser.ask("/app/admin/auth/user/")
    assert answer.getheader("Location") == "/app/admin/login/?next=/app/admin/auth/user/"
    _, page = browser.ask("/app/accounts/login/")
    token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[0]
    answer, _ = browser.ask(
        "/app/accounts/login/",
        {"csrfmiddlewaretoken": token, "username": "ada", "password": "a-good-password"},
    )
    assert (answer.status, answer.getheader("Location")) == (302, "/app/")
    assert browser.ask("/app/admin/")[0].status == 200
    assert browser.paths == {"/app"}
    # The site at / has its own, which the browser sends along.
    assert browser.cookies.keys() == {"app-csrftoken", "app-sessionid", "app-sessionid-known"}


def test_so_are_links_that_a_task_makes_in_a_thread(settings: Settings) -> None:
    settings.SITE_PATH = "/app"
    link = app.register_task(Link())
    try:
        with ThreadPoolExecutor(1) as pool:  # as worker --pool threads
            assert pool.submit(link.apply).result().get() == "/app/admin/"
    finally:
        app.tasks.unregister(link)
