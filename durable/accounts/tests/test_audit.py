"""The audit log: what is written down, from where, and who may read it."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries, Settings

from durable.accounts.models import Event
from durable.accounts.tasks import purge_audit
from durable.logs.formatter import JsonFormatter

from .conftest import PASSWORD, USERS, log_in

User = get_user_model()


def events(**only: Any) -> list[tuple[str, str]]:
    found = Event.objects.filter(**only).order_by("pk")
    return [(event.event, event.account) for event in found]


def test_log_ins_and_failures_say_who_and_from_where(
    client: Client, root: Any, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = 1
    Event.objects.all().delete()
    behind = {"HTTP_X_FORWARDED_FOR": "192.0.2.1, 203.0.113.9", "HTTP_X_REQUEST_ID": "one"}
    client.defaults.update(behind)
    log_in(client, "root", "wrong")
    log_in(client, "hunter2-typed-as-a-name", "wrong")
    log_in(client, "root")
    client.post("/admin/logout/")
    assert events(address="203.0.113.9", request_id="one") == [
        ("log-in failed", "root"),
        ("log-in failed", ""),  # what was typed there may be a password
        ("logged in", "root"),
        ("logged out", "root"),
    ]


def test_a_lock_out_is_one_line_however_long_somebody_goes_on(client: Client, ann: Any) -> None:
    for _ in range(15):
        log_in(client, "ann", "wrong")
    assert events(event="log-in refused") == [("log-in refused", "ann")]


def test_an_event_is_one_line_of_json(
    client: Client, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "durable.audit"):
        log_in(client, "ann", "wrong")
    line = json.loads(JsonFormatter().format(caplog.records[-1]))
    assert (line["audit"], line["account"], line["address"]) == (
        "log-in failed", "ann", "127.0.0.1",
    )  # fmt: skip


def test_what_is_done_in_the_admin_is_written_down_with_its_objects(
    client: Client, root: Any, ann: Any
) -> None:
    client.force_login(root)
    groups = [Group.objects.create(name=name) for name in ("a", "b")]
    client.post("/admin/auth/group/add/", {"name": ""})  # refused: no deed
    client.post("/admin/auth/group/add/", {"name": "c"})
    chosen = {"action": "delete_selected", "_selected_action": [g.pk for g in groups], "post": "y"}
    client.post("/admin/auth/group/", chosen)
    done = Event.objects.filter(event="admin", account="root").order_by("pk")
    assert [event.about for event in done] == [
        "auth_group_add",
        f"auth_group_changelist delete_selected {groups[0].pk} {groups[1].pk}",
    ]


def test_a_password_that_an_admin_sets_has_an_account_and_an_actor(
    client: Client, root: Any, ann: Any
) -> None:
    client.force_login(root)
    new = {"password1": "battery-staple-7", "password2": "battery-staple-7", "usable_password": "t"}
    client.post(f"{USERS}{ann.pk}/password/", new | {"usable_password": "true"})
    [event] = Event.objects.filter(event="password changed")
    assert (event.account, event.actor) == ("ann", "root")


def test_a_password_hashed_anew_at_a_log_in_is_no_change(
    client: Client, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]
    settings.PASSWORD_HASHERS.reverse()
    User.objects.create_user("bob", password=PASSWORD)
    settings.PASSWORD_HASHERS = settings.PASSWORD_HASHERS[::-1]
    log_in(client, "bob", path="/accounts/login/")
    assert events(account="bob") == [("account created", "bob"), ("logged in", "bob")]


def test_the_log_is_read_in_the_admin_and_changed_nowhere(
    client: Client, root: Any, ann: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    Event.objects.bulk_create(Event(event="old", account="ann") for _ in range(300))
    client.force_login(root)
    page = client.get("/admin/durable_accounts/event/?q=ann").content.decode()
    assert "account created" in page or "old" in page
    assert client.get("/admin/durable_accounts/event/add/").status_code == 403
    event = Event.objects.latest("pk").pk
    assert client.post(f"/admin/durable_accounts/event/{event}/delete/").status_code == 403


def test_no_page_of_the_log_counts_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from durable.database import admin

    Event.objects.bulk_create(Event(event="old") for _ in range(30))
    monkeypatch.setattr(admin, "CAP", 20)
    assert admin.CappedPaginator(Event.objects.all(), 10).num_pages == 2


def test_lines_older_than_the_setting_are_deleted(settings: Settings) -> None:
    Event.objects.all().delete()
    Event.objects.create(event="old", at=now() - timedelta(days=366))
    Event.objects.create(event="new")
    assert purge_audit() == 1
    assert events() == [("new", "")]


def test_a_command_by_hand_is_written_down_without_an_address(root: Any) -> None:
    call_command("createsuperuser", "--noinput", username="second", email="s@example.com")
    assert events(account="second", address="") == [("account created", "second")]
