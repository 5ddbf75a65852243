"""Signing up, in and out, as a browser does it."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from durable.queue.models import Task

from .test_welcome_email import ANN, new_user

pytestmark = pytest.mark.django_db


def test_a_valid_form_creates_the_account_and_logs_in(client: Client) -> None:
    response = client.post("/accounts/signup/", ANN)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.session["_auth_user_id"] == str(User.objects.get(username="ann").pk)


def test_the_form_has_djangos_own_fields(client: Client) -> None:
    form = client.get("/accounts/signup/").context["form"]
    assert list(form.fields) == ["username", "email", "password1", "password2"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"password2": "another-horse-9"}, "password2"),
        ({"password1": "12345678", "password2": "12345678"}, "password2"),
        ({"email": "nowhere"}, "email"),
        ({"username": "a b"}, "username"),
    ],
)
def test_a_form_that_is_not_valid_creates_nothing(
    client: Client, change: dict[str, str], field: str
) -> None:
    response = client.post("/accounts/signup/", ANN | change)
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert not User.objects.exists()


def test_a_taken_name_is_refused_whatever_its_case(client: Client) -> None:
    new_user("Ann")
    response = client.post("/accounts/signup/", ANN)
    assert "username" in response.context["form"].errors


@pytest.mark.usefixtures("no_broker", "transactional_db")
def test_a_broker_that_is_away_costs_neither_the_account_nor_the_mail(client: Client) -> None:
    response = client.post("/accounts/signup/", ANN)
    assert response.status_code == 302
    assert User.objects.filter(username="ann").exists()
    assert "_auth_user_id" in client.session
    assert Task.objects.get().task == "apps.accounts.tasks.send_welcome_email"


def test_logging_in_and_out(client: Client) -> None:
    new_user()
    form = {"username": "ann", "password": "correct-horse-9", "next": "/accounts/password/"}
    assert client.post("/accounts/login/", form)["Location"] == "/accounts/password/"
    client.post("/accounts/logout/")
    assert "_auth_user_id" not in client.session


def test_logging_in_never_leads_to_another_site(client: Client) -> None:
    new_user()
    form = {"username": "ann", "password": "correct-horse-9", "next": "https://example.org/"}
    assert client.post("/accounts/login/", form)["Location"] == "/"


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_guessing_a_password_is_slowed_down(client: Client, path: str) -> None:
    cache.clear()
    new_user()
    for _ in range(10):
        client.post(path, {"username": "ann", "password": "wrong"})
    response = client.post(path, {"username": "ann", "password": "correct-horse-9"})
    assert re.search(r"Too many attempts\. Try again in \d minutes?\.", response.content.decode())
    assert "_auth_user_id" not in client.session


def test_a_success_forgives_what_went_before(client: Client) -> None:
    cache.clear()
    new_user()
    for _ in range(2):
        for _ in range(9):
            client.post("/accounts/login/", {"username": "ann", "password": "wrong"})
        form = {"username": "ann", "password": "correct-horse-9"}
        assert client.post("/accounts/login/", form).status_code == 302
        client.post("/accounts/logout/")


def test_changing_the_password(client: Client) -> None:
    client.force_login(new_user())
    form = {
        "old_password": "correct-horse-9",
        "new_password1": "battery-staple-7",
        "new_password2": "battery-staple-7",
    }
    response = client.post("/accounts/password/", form, follow=True)
    assert "Your password is changed." in response.content.decode()
    assert User.objects.get(username="ann").check_password("battery-staple-7")
