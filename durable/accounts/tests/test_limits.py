"""How often a password may be tried, by whom, and who is let through all the same."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from pytest_django import Settings

from durable.accounts import limits
from durable.client_address import client_address, network

from .conftest import log_in

User = get_user_model()

#: Log-in takes no place in these tests, but hashing does.
FAST = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _settings(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = FAST
    settings.ACCOUNT_TRIES_PER_MINUTE = 1000


def guess(name: str, times: int, **meta: str) -> None:
    stranger = Client(**meta)  # type: ignore[arg-type]
    for _ in range(times):
        assert log_in(stranger, name, "wrong").status_code == 200


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_guessing_is_answered_with_429_on_every_page(client: Client, ann: Any, path: str) -> None:
    guess("ann", 10)
    response = log_in(client, "ann", path=path)
    assert response.status_code == 429
    assert re.search(r"Too many attempts\. Try again in \d minutes?\.", response.content.decode())
    assert 0 < int(response["Retry-After"]) <= 361
    assert "_auth_user_id" not in client.session


def test_who_is_elsewhere_is_not_locked_out_by_a_stranger(ann: Any, root: Any) -> None:
    for name in ("ann", "root"):
        guess(name, 10)
        assert log_in(Client(REMOTE_ADDR="192.0.2.7"), name).status_code in {200, 302}


def test_a_browser_that_logged_in_before_is_let_through_from_the_strangers_address(
    client: Client, root: Any
) -> None:
    log_in(client, "root")
    client.post("/admin/logout/")
    guess("root", 10)
    assert log_in(client, "root").status_code == 302
    # By the account's own browser alone, and not by one that claims to be.
    forged = Client()
    forged.cookies[limits.cookie()] = client.cookies[limits.cookie()].value[:-1] + "x"
    assert log_in(forged, "root").status_code == 429


def test_a_known_browser_has_a_limit_of_its_own(client: Client, ann: Any) -> None:
    log_in(client, "ann", path="/accounts/login/")
    client.post("/accounts/logout/")
    for _ in range(10):
        log_in(client, "ann", "wrong")
    assert log_in(client, "ann").status_code == 429


@pytest.mark.parametrize(("name", "status"), [("ann", 429), ("root", 302), ("nobody", 429)])
def test_staff_are_never_refused_by_their_name_alone(
    client: Client, ann: Any, root: Any, settings: Settings, name: str, status: int
) -> None:
    settings.ACCOUNT_TRIES_PER_HOUR = 20
    for number in range(4):
        guess(name, 5, REMOTE_ADDR=f"192.0.2.{number}")
    assert log_in(client, name).status_code == status


def test_no_account_can_be_tried_more_than_100_times_in_an_hour() -> None:
    assert limits.LogIn._everywhere() == limits.Limit("name", 100, 3600)
    pair = limits.LogIn._pair()
    assert pair.count * 3600 / pair.seconds == 100


def test_one_address_is_limited_over_all_names(client: Client, settings: Settings) -> None:
    settings.ACCOUNT_TRIES_PER_MINUTE = 5
    for number in range(5):
        log_in(client, f"name-{number}")
    # Who claims another address, or has the next one of the same network, is no other.
    assert log_in(client, "one-more").status_code == 429
    claims = Client(HTTP_X_FORWARDED_FOR="192.0.2.1")
    assert log_in(claims, "one-more").status_code == 429
    assert log_in(Client(REMOTE_ADDR="192.0.2.7"), "one-more").status_code == 200


def test_behind_a_proxy_the_address_is_the_one_that_it_saw(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1, 203.0.113.9"}
    assert client_address(environ) == "203.0.113.9"
    assert client_address({"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "<script>"}) == ""
    # A proxy that listens on [::] alone says so of IPv4: all visitors would be of one network.
    mapped = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "::ffff:203.0.113.9"}
    assert client_address(mapped) == "203.0.113.9"
    assert network("2001:db8::1:2:3:4") == network("2001:db8::9") == "2001:db8::/64"


def test_a_success_forgives_what_went_before(client: Client, ann: Any) -> None:
    for _ in range(2):
        guess("ann", 9)
        assert log_in(Client(), "ann", path="/accounts/login/").status_code == 302


def test_the_old_password_of_a_change_is_an_attempt_too(client: Client, ann: Any) -> None:
    client.force_login(ann)
    new = {"new_password1": "battery-staple-7", "new_password2": "battery-staple-7"}
    for _ in range(10):
        wrong = client.post("/accounts/password/", {"old_password": "wrong", **new})
        assert wrong.status_code == 422
    right = {"old_password": "correct-horse-9", **new}
    assert client.post("/accounts/password/", right).status_code == 429
    ann.refresh_from_db()
    assert ann.check_password("correct-horse-9")


@pytest.mark.django_db(transaction=True)
def test_attempts_in_parallel_are_all_counted() -> None:
    limit = limits.Limit("test", 5, 60)

    def attempt(_: int) -> float:
        try:
            return limits.take(limit, "ann")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(attempt, range(24)))
    assert sum(wait == 0 for wait in waits) == 5
