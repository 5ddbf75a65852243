"""Signing up, in and out, as a browser does it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import Client
from django.urls import resolve

from durable.accounts.tasks import send_signup_link, signup_link
from durable.queue.models import Task

from .test_mail import ANN, new_user

User = get_user_model()

MAILBOX = "ann@example.com"


def link(mailbox: str = MAILBOX) -> str:
    return signup_link(mailbox, "")


def test_nothing_is_stored_of_who_asks_for_an_account(client: Client) -> None:
    response = client.post("/accounts/signup/", {"email": MAILBOX})
    assert "Look into your mailbox" in response.content.decode()
    assert not User.objects.exists()
    assert Task.objects.get().task == "durable.accounts.tasks.send_signup_link"


def test_the_mail_holds_a_link_and_no_word_of_the_sender() -> None:
    send_signup_link(MAILBOX, "http://testserver")
    [message] = mail.outbox
    assert message.subject == "Your account"
    assert MAILBOX not in str(message.body)
    assert len(re.findall(r"http://testserver/accounts/signup/\S+/", str(message.body))) == 1


def test_the_answer_does_not_tell_who_has_an_account(client: Client) -> None:
    pages = [client.post("/accounts/signup/", {"email": MAILBOX}).content for _ in range(2)]
    new_user()
    pages.append(client.post("/accounts/signup/", {"email": MAILBOX}).content)
    assert len(set(pages)) == 1
    send_signup_link(MAILBOX, "http://testserver")
    assert "http://testserver/accounts/login/" in str(mail.outbox[0].body)


def test_one_address_and_one_mailbox_get_so_many_mails_in_an_hour(client: Client) -> None:
    answers = [client.post("/accounts/signup/", {"email": MAILBOX}).status_code for _ in range(6)]
    assert answers == 5 * [200] + [429]
    answers = [
        client.post("/accounts/signup/", {"email": f"{number}@example.com"}).status_code
        for number in range(16)
    ]
    assert (answers[0], answers[-1]) == (200, 429)


def test_the_link_creates_the_account_and_logs_in(client: Client) -> None:
    assert client.get(link()).status_code == 200
    assert not User.objects.exists()
    response = client.post(link(), ANN)
    assert (response.status_code, response["Location"]) == (302, "/")
    user = User.objects.get(username="ann", email=MAILBOX)
    assert client.session["_auth_user_id"] == str(user.pk)


def test_a_link_makes_one_account_and_a_changed_one_none(client: Client) -> None:
    address = link()
    client.post(address, ANN)
    again = Client().post(address, ANN | {"username": "bob"})
    assert again["Location"] == "/accounts/login/"
    forged = Client().post(address[:-2] + "x/", ANN | {"username": "bob"})
    assert forged["Location"] == "/accounts/signup/"
    assert User.objects.count() == 1


def test_the_form_has_djangos_own_fields(client: Client) -> None:
    form = client.get(link()).context["form"]
    assert list(form.fields) == ["username", "password1", "password2"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"password2": "another-horse-9"}, "password2"),
        ({"password1": "ann@example1", "password2": "ann@example1"}, "password2"),
        ({"username": "a b"}, "username"),
    ],
)
def test_a_form_that_is_not_valid_creates_nothing(
    client: Client, change: dict[str, str], field: str
) -> None:
    response = client.post(link(), ANN | change)
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert not User.objects.exists()


def test_a_taken_name_is_refused_whatever_its_case(client: Client) -> None:
    new_user("Ann")
    response = client.post(link("another@example.com"), ANN)
    assert "username" in response.context["form"].errors


@pytest.mark.usefixtures("no_broker", "transactional_db")
def test_a_broker_that_is_away_costs_neither_the_account_nor_the_mail(client: Client) -> None:
    response = client.post(link(), ANN)
    assert response.status_code == 302
    assert User.objects.filter(username="ann").exists()
    assert "_auth_user_id" in client.session
    assert Task.objects.get().task == "durable.accounts.tasks.tell"


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


def test_without_sign_up_there_is_no_page_for_it_and_no_link_to_it() -> None:
    code = f"""
from django.test import Client
for page in ("/", "/accounts/login/", "/accounts/signup/", "{link()}"):
    answer = Client(headers={{"Host": "localhost"}}).get(page)
    print(answer.status_code, b"signup" in answer.content.replace(page.encode(), b""))
"""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=settings.BASE_DIR, env={**os.environ, "ACCOUNT_SIGNUP": "false"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Where no app has a start page, it leads to the admin.
    home = "302 False" if resolve("/").url_name == "start" else "200 False"
    assert done.stdout.splitlines() == [home, "200 False", *["404 False"] * 2], done.stderr
