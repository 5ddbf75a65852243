"""The API's tokens: given for a password, good for a time, void when the password changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connections
from django.http import HttpRequest
from django.test import Client, RequestFactory
from pytest_django import Settings

from apps.accounts import throttle
from apps.accounts.tokens import create_token, user_of

from .test_welcome_email import new_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    cache.clear()


def ask(client: Client, username: str = "ann", password: str | None = None) -> Any:
    body = {"username": username, "password": password or "correct-horse-9"}
    return client.post("/api/token", body, content_type="application/json")


def test_a_right_password_gives_a_token_of_its_user(client: Client) -> None:
    user = new_user()
    response = ask(client)
    assert response.status_code == 200
    assert user_of(response.json()["token"]) == user
    assert response.json()["token_type"] == "Bearer"
    assert response.json()["expires_in"] == 12 * 3600
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("username", "password"), [("ann", "wrong"), ("nobody", "correct-horse-9")]
)
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(
    client: Client, username: str, password: str
) -> None:
    new_user()
    response = ask(client, username, password)
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json()["title"] == "Wrong user name or password"


def test_a_user_who_may_not_log_in_gets_no_token(client: Client) -> None:
    user = new_user()
    token = create_token(user)
    user.is_active = False
    user.save()
    assert ask(client).status_code == 401
    assert user_of(token) is None


def test_a_changed_password_voids_tokens() -> None:
    user = new_user()
    token = create_token(user)
    assert user_of(token) == user
    user.set_password("battery-staple-7")
    user.save()
    assert user_of(token) is None


def test_a_token_expires(settings: Settings) -> None:
    token = create_token(new_user())
    settings.API_TOKEN_MAX_AGE = -1
    assert user_of(token) is None


def test_a_token_outlives_a_change_of_the_secret_key(settings: Settings) -> None:
    user = new_user()
    token = create_token(user)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-" + "y" * 50
    assert user_of(token) is None
    settings.SECRET_KEY_FALLBACKS = [old]
    assert user_of(token) == user


def test_a_token_is_good_for_nobody_else() -> None:
    ann, bob = new_user("ann"), new_user("bob")
    _, _, rest = create_token(ann).partition(":")
    assert user_of(f"{bob.pk}:{rest}") is None


@pytest.mark.parametrize("token", ["", "x", ":", "1", "1:", "1:2:3", "²:x:y", "9" * 30, "-1:a:b"])
def test_what_is_no_token_is_nobodys(token: str) -> None:
    assert user_of(token) is None


@pytest.fixture
def long_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts count for a day: on a busy machine so many take longer than a minute."""
    for name in ("BY_ADDRESS", "BY_NAME"):
        limit = replace(getattr(throttle, name), seconds=24 * 3600)
        monkeypatch.setattr(throttle, name, limit)


@pytest.mark.usefixtures("long_limits")
def test_attempts_for_one_name_are_limited_and_the_answer_says_for_how_long(client: Client) -> None:
    new_user()
    for _ in range(throttle.BY_NAME.count):
        assert ask(client, password="wrong").status_code == 401
    response = ask(client)
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= throttle.BY_NAME.seconds + 1
    assert ask(client, "bob").status_code == 401


@pytest.mark.usefixtures("long_limits")
def test_attempts_from_one_address_are_limited_over_all_names(client: Client) -> None:
    for number in range(throttle.BY_ADDRESS.count):
        assert ask(client, f"name-{number}").status_code == 401
    assert ask(client, "one-more").status_code == 429
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert ask(elsewhere, "one-more").status_code == 401


def request_from(**meta: str) -> HttpRequest:
    return RequestFactory().get("/", **meta)  # type: ignore[arg-type]


def test_nobody_gets_a_fresh_count_by_claiming_another_address() -> None:
    for number in range(throttle.BY_ADDRESS.count):
        claimed = request_from(HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")
        assert throttle.wait_before_attempt(claimed, f"name-{number}") == 0
    assert throttle.wait_before_attempt(request_from(), "one-more") > 0


@pytest.mark.django_db(transaction=True)
def test_attempts_in_parallel_are_all_counted() -> None:
    limit = throttle.Limit("test", 5, 60)

    def attempt(_: int) -> float:
        try:
            return throttle.take(limit, "ann")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(attempt, range(24)))
    assert sum(wait == 0 for wait in waits) == 5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{}", 422),
        ("[]", 422),
        ("{", 400),
        ('{"username": "a\\u0000", "password": "x"}', 422),
        ('{"username": "\\ud800", "password": "x"}', 422),
        ('{"username": "' + "x" * 2_000_000 + '", "password": "x"}', 413),
    ],
)
def test_what_is_no_request_for_a_token_gets_a_problem(
    client: Client, body: str, status: int
) -> None:
    response = client.generic("POST", "/api/token", body, "application/json")
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status


def test_an_unknown_path_of_the_api_gets_a_problem(client: Client) -> None:
    response = client.post("/api/nothing")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


def test_a_database_that_is_away_gets_a_problem_that_says_to_try_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> float:
        raise OperationalError("connection refused")

    monkeypatch.setattr(throttle, "wait_before_attempt", away)
    response = ask(client)
    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"
    assert response["Retry-After"]
    assert response.json()["detail"] == "The database does not answer. Try again in a moment."
