"""Which passwords are refused, how a new one comes by mail, and what ends with the old one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client

from durable.accounts.passwords import UncommonValidator
from durable.accounts.tasks import send_password_link, tell
from durable.queue.models import Task

from .conftest import PASSWORD, log_in

User = get_user_model()


@pytest.mark.parametrize(
    "password",
    ["short-one-1", "password1234", "Password2026!", "dragondragon", "P@ssw0rd12345", "a" * 20,
     "123456789012", "qwertyuiop123", "annabelle-ann", "x7Kp-92qL" * 14 + "abc"],
)  # fmt: skip
def test_an_easy_password_is_refused(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password, User(username="annabelle-ann"))


@pytest.mark.parametrize(
    "password", [PASSWORD, "battery-staple-7", "x7Kp-92qLm-40Zt", "x7Kp-92qL" * 14 + "ab"]
)
def test_a_good_one_is_not(password: str) -> None:
    validate_password(password, User(username="ann"))


def test_one_that_is_too_long_is_not_looked_through() -> None:
    long = "password" * 100
    UncommonValidator().validate(long)
    with pytest.raises(ValidationError) as refused:
        validate_password(long)
    assert {one.code for one in refused.value.error_list} == {"password_too_long"}


def test_who_logs_in_by_an_easy_password_has_to_choose_another_one(client: Client) -> None:
    User.objects.create_superuser("old", password="Password2026!")
    assert log_in(client, "old", "Password2026!")["Location"] == "/admin/"
    assert client.get("/admin/")["Location"] == "/accounts/password/?next=%2Fadmin%2F"
    assert "too easy to guess" in client.get("/accounts/password/").content.decode()
    form = {"old_password": "Password2026!", "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert client.post("/accounts/password/", form)["Location"] == "/accounts/password/"
    assert client.get("/admin/").status_code == 200


def link_of(message: mail.EmailMessage) -> str:
    return str(re.findall(r"http://testserver(/\S+)", str(message.body))[0])


def calls(task: str) -> list[Task]:
    return list(Task.objects.filter(task=f"durable.accounts.tasks.{task}"))


def test_a_forgotten_password_is_replaced_by_the_link_in_a_mail(client: Client, ann: Any) -> None:
    other = Client()
    other.force_login(ann)
    page = client.post("/accounts/reset/", {"email": "Ann@example.com"})
    assert "is on its way" in page.content.decode()
    assert len(calls("send_password_link")) == 1
    send_password_link("Ann@example.com", "http://testserver")
    assert mail.outbox[0].to == ["ann@example.com"]
    page = client.get(link_of(mail.outbox[0]), follow=True)
    form = {"new_password1": "battery-staple-7", "new_password2": "battery-staple-7"}
    assert client.post(page.redirect_chain[-1][0], form)["Location"] == "/accounts/login/"
    assert log_in(client, "ann", "battery-staple-7", "/accounts/login/").status_code == 302
    assert other.get("/accounts/password/").status_code == 302  # that session has ended
    assert len(calls("tell")) == 1  # and the person is told
    assert "not good any more" in client.get(link_of(mail.outbox[0])).content.decode()


def test_the_answer_does_not_tell_who_has_an_account(client: Client, ann: Any) -> None:
    known = client.post("/accounts/reset/", {"email": "ann@example.com"})
    unknown = client.post("/accounts/reset/", {"email": "bob@example.com"})
    assert known.content == unknown.content
    assert len(calls("send_password_link")) == 2
    send_password_link("bob@example.com", "http://testserver")
    assert mail.outbox == []


def test_one_mailbox_gets_five_mails_in_an_hour_from_all_who_ask(ann: Any) -> None:
    for number in range(7):
        client = Client(REMOTE_ADDR=f"192.0.2.{number}")
        status = client.post("/accounts/reset/", {"email": "ann@example.com"}).status_code
        assert status == (200 if number < 5 else 429)
    assert len(calls("send_password_link")) == 5


def test_the_mail_about_a_changed_password_says_when(ann: Any) -> None:
    ann.set_password("battery-staple-7")
    ann.save()
    assert len(calls("tell")) == 1
    tell(ann.pk, "password_changed", "2026-01-02 03:04 UTC")
    [message] = mail.outbox
    assert message.subject == "Your password was changed"
    assert "2026-01-02 03:04 UTC" in message.body


def test_the_admins_own_page_leads_to_the_limited_one(client: Client, root: Any) -> None:
    client.force_login(root)
    assert client.get("/admin/password_change/")["Location"] == "/accounts/password/"
