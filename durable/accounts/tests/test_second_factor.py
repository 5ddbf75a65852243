"""The second factor, and the recent log-in that some pages want."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp.plugins.otp_static.models import StaticToken
from pytest_django import Settings

from durable.accounts import second_factor
from durable.accounts.models import Event
from durable.queue.models import Task

from .conftest import PASSWORD, USERS, code_of, log_in, log_in_long_ago, with_second_factor

User = get_user_model()

CHECK = "/accounts/second-factor/"


def test_setting_it_up_shows_a_key_and_then_recovery_codes_once(client: Client, root: Any) -> None:
    client.force_login(root)
    page = client.get(f"{CHECK}setup/").content.decode()
    device = second_factor.proposed(root)
    assert second_factor.key(device) in page
    assert 'src="data:image/svg+xml' in page
    assert client.post(f"{CHECK}setup/", {"code": "000000"}).status_code == 422
    assert not second_factor.has(root)
    page = client.post(f"{CHECK}setup/", {"code": code_of(device)}).content.decode()
    assert "Your recovery codes" in page
    assert second_factor.has(root)
    for stored in StaticToken.objects.values_list("token", flat=True):
        assert stored not in page.replace("-", "")


def test_the_password_alone_opens_nothing(client: Client, root: Any) -> None:
    device, _ = with_second_factor(root)
    assert log_in(client, "root")["Location"] == "/admin/"
    for path in ("/admin/", "/accounts/password/", f"{CHECK}setup/", "/accounts/confirm/"):
        assert client.get(path)["Location"].startswith(f"{CHECK}?next="), path
    assert client.post(CHECK, {"code": "000000"}).status_code == 422
    answer = client.post(CHECK, {"code": code_of(device), "next": "/admin/"})
    assert answer["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_a_code_and_a_recovery_code_are_good_once(client: Client, root: Any) -> None:
    device, codes = with_second_factor(root)
    told = Task.objects.filter(task="durable.accounts.tasks.tell", body__contains="again")
    for code in (codes[0].upper(), code_of(device)):
        for status in (302, 422):
            browser = Client()
            log_in(browser, "root")
            assert browser.post(CHECK, {"code": code}).status_code == status
    assert Event.objects.filter(event="second factor used again", account="root").count() == 1
    assert told.count() == 1, "of the app's code the person hears; a recovery code is a failure"


def test_wrong_codes_are_limited_and_the_person_is_told(client: Client, root: Any) -> None:
    device, codes = with_second_factor(root)
    log_in(client, "root")
    told = Task.objects.filter(task="durable.accounts.tasks.tell")
    before = told.count()
    for _ in range(10):
        assert client.post(CHECK, {"code": "000000"}).status_code == 422
    for code in (code_of(device), codes[0]):
        assert client.post(CHECK, {"code": code}).status_code == 429
    assert told.count() == before + 1
    assert Event.objects.filter(event="second factor refused", account="root").count() == 1


def test_who_has_lost_it_is_let_in_by_a_command(client: Client, root: Any) -> None:
    with_second_factor(root)
    out = StringIO()
    call_command("reset_second_factor", "root", stdout=out)
    assert "by the password alone" in out.getvalue()
    log_in(client, "root")
    assert client.get("/admin/").status_code == 200
    assert Event.objects.filter(event="second factor removed", account="root").exists()
    for name in ("root", "nobody"):
        with pytest.raises(CommandError, match=name):
            call_command("reset_second_factor", name)


def test_staff_can_be_made_to_have_one(client: Client, root: Any, settings: Settings) -> None:
    settings.ACCOUNT_STAFF_SECOND_FACTOR = True
    log_in(client, "root")
    assert client.get("/admin/")["Location"] == f"{CHECK}setup/?next=%2Fadmin%2F"
    client.post(f"{CHECK}setup/", {"code": code_of(second_factor.proposed(root))})
    assert client.get("/admin/").status_code == 200


class TestRecentLogIn:
    @pytest.fixture
    def group(self) -> Group:
        return Group.objects.create(name="a")

    @pytest.fixture
    def asked(self, client: Client, root: Any) -> Client:
        log_in_long_ago(client, root)
        return client

    def test_is_asked_for_before_accounts_are_changed_and_anything_is_deleted(
        self, asked: Client, root: Any, group: Group
    ) -> None:
        assert asked.get(USERS).status_code == 200
        assert asked.get("/admin/durable/task/").status_code == 200
        delete: dict[str, Any] = {
            "action": "delete_selected", "_selected_action": [group.pk], "post": "yes",
        }  # fmt: skip
        answers = [
            asked.get(f"{USERS}{root.pk}/change/"),
            asked.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}),
            asked.post("/admin/auth/group/", delete),
            asked.get(f"{CHECK}setup/"),
            asked.post(f"{CHECK}remove/"),
        ]
        for answer in answers:
            assert answer["Location"].startswith("/accounts/confirm/?next="), answer
        assert Group.objects.exists()
        assert not Event.objects.filter(event="admin").exists()

    def test_is_given_by_the_password(self, asked: Client, root: Any) -> None:
        page = f"{USERS}{root.pk}/change/"
        form = {"password": "wrong", "next": page}
        assert asked.post("/accounts/confirm/", form).status_code == 422
        answer = asked.post("/accounts/confirm/", form | {"password": PASSWORD})
        assert answer["Location"] == page
        assert asked.get(page).status_code == 200

    def test_takes_the_second_factor_of_who_has_one(self, asked: Client, root: Any) -> None:
        device, _ = with_second_factor(root)
        form = {"password": PASSWORD, "code": "000000"}
        assert asked.post("/accounts/confirm/", form).status_code == 422
        form["code"] = code_of(device)
        assert asked.post("/accounts/confirm/", form).status_code == 302

    def test_never_leads_to_another_site(self, asked: Client) -> None:
        form = {"password": PASSWORD, "next": "https://example.org/"}
        assert asked.post("/accounts/confirm/", form)["Location"] == "/"


def test_a_log_in_of_staff_holds_for_hours_and_not_for_weeks(
    client: Client, root: Any, ann: Any, settings: Settings
) -> None:
    client.force_login(ann)
    assert client.session.get_expiry_age() > 13 * 24 * 3600
    client.force_login(root)
    assert client.session.get_expiry_age() <= 12 * 3600
