"""The API's tokens: given for a password, good for a time, void when the password changes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from durable.accounts import limits
from durable.accounts.models import Event, Token
from durable.accounts.tokens import create_token, user_of

from .conftest import code_of, with_second_factor
from .test_mail import new_user

User = get_user_model()


def ask(client: Client, username: str = "ann", password: str | None = None, code: str = "") -> Any:
    body = {"username": username, "password": password or "correct-horse-9", "code": code}
    return client.post("/api/token", body, content_type="application/json")


def test_a_right_password_gives_a_token_of_its_user(client: Client) -> None:
    user = new_user()
    response = ask(client)
    assert response.status_code == 200
    assert user_of(response.json()["token"]) == user
    assert response.json()["token_type"] == "Bearer"
    assert response.json()["expires_in"] == 12 * 3600
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Disposition"] == 'attachment; filename="api.json"'


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
    assert not Token.objects.exists()


def test_a_token_expires(settings: Settings) -> None:
    token = create_token(new_user())
    settings.ACCOUNT_TOKEN_MAX_AGE = -1
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
    create_token(bob)
    [bobs] = Token.objects.filter(user=bob)
    assert user_of(f"{bobs.pk}:{rest}") is None


@pytest.mark.parametrize("token", ["", "x", ":", "1", "1:", "1:2:3", "²:x:y", "9" * 30, "-1:a:b"])
def test_what_is_no_token_is_nobodys(token: str) -> None:
    assert user_of(token) is None


def test_attempts_for_one_name_are_limited_and_the_answer_says_for_how_long(
    client: Client,
) -> None:
    new_user()
    for _ in range(10):
        assert ask(client, password="wrong").status_code == 401
    response = ask(client)
    assert response.status_code == 429
    assert response["Content-Type"] == "application/problem+json"
    assert 0 < int(response["Retry-After"]) <= 361
    assert ask(client, "bob").status_code == 401


def test_an_account_with_a_second_factor_gets_a_token_with_a_code_alone(client: Client) -> None:
    device, codes = with_second_factor(new_user())
    assert ask(client).status_code == 401
    assert ask(client, code=codes[0]).status_code == 200
    assert ask(client, code=code_of(device)).status_code == 200


def test_an_easy_password_from_before_gets_none(client: Client) -> None:
    User.objects.create_user("old", password="Password2026!")
    answer = ask(client, "old", "Password2026!")
    assert (answer.status_code, answer.json()["title"]) == (403, "Password too easy to guess")


def test_tokens_are_listed_and_revoked_by_their_owner_alone(client: Client) -> None:
    ann, bob = new_user(), new_user("bob")
    token, bobs = create_token(ann, "192.0.2.1"), create_token(bob)
    client.force_login(ann)
    page = client.get("/accounts/tokens/").content.decode()
    assert "192.0.2.1" in page
    assert page.count("Revoke") == 1
    for row in Token.objects.all():
        client.post(f"/accounts/tokens/{row.pk}/revoke/")
    assert user_of(token) is None
    assert user_of(bobs) == bob
    made = Event.objects.filter(account="ann", event__startswith="token").order_by("pk")
    assert [event.event for event in made] == ["token made", "token deleted"]


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

    monkeypatch.setattr(limits, "take", away)
    response = ask(client)
    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"
    assert response["Retry-After"]
    assert response.json()["detail"] == "The database does not answer. Try again in a moment."
