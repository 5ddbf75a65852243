"""A deed on many does what was confirmed, and no more; each is for those who may do it."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import shared_task
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from durable.accounts import recent
from durable.console import access, deeds
from durable.console.models import Deed
from durable.queue.endings import quarantine
from durable.queue.models import Task
from durable.queue.tests.delivery import begin, deliver
from tests.durable_tasks import add, effect, fails

from .conftest import read

User = get_user_model()

pytestmark = pytest.mark.usefixtures("effect_table", "fresh")


@shared_task(sensitive=("holder",))
def pays(holder: str, order: Any = None) -> None: ...


def with_permissions(client: Client, *names: str) -> Client:
    user = User.objects.create(username="u", is_staff=True)
    of_console = Permission.objects.filter(content_type__app_label="durable_console")
    user.user_permissions.set(of_console.filter(codename__in=["view_console", *names]))
    client.force_login(user)
    return client


def waiting(*labels: str) -> list[Task]:
    return [
        Task.objects.get(task_id=effect.delay_on_commit(label).id) for label in labels
    ]  # fmt: skip


def work_off(what: str, text: str, found: int) -> Deed:
    deed = deeds.of_many(what, "me", text, found)
    while deeds.step(deed.pk):
        pass
    deed.refresh_from_db()
    return deed


def test_a_cancel_takes_none_of_those_that_begin_in_the_places_of_the_others() -> None:
    first, second = waiting("first", "second")
    begin(first)
    deed = deeds.of_many("cancel", "me", "task:effect", 1)
    assert deeds.step(deed.pk)
    begin(second)
    assert not deeds.step(deed.pk)
    assert Task.objects.filter(pk=second.pk).exists()


def test_what_comes_into_quarantine_later_was_not_confirmed() -> None:
    first, second = waiting("first", "second")
    for row in (first, second):
        begin(row)
        if row is second:
            deed = deeds.of_many("retry", "me", "task:effect", 1)
        quarantine.release("id = %(row)s", {"row": row.pk}, "it died")
        Task.objects.filter(pk=row.pk, quarantined_at=None).update(
            quarantined_at=Now(), worker=None, started_at=None, error="it died"
        )
    while deeds.step(deed.pk):
        pass
    assert Task.objects.get(quarantined_at=None, task=effect.name).pk == first.pk


def test_what_becomes_ready_later_was_not_confirmed() -> None:
    ready, later = waiting("ready", "later")
    Task.objects.filter(pk=later.pk).update(due_at=Now() + timedelta(hours=1))
    deed = deeds.of_many("discard", "me", "task:effect state:ready", 1)
    # Nothing worked it off for two hours.
    Task.objects.update(created_at=Now() - timedelta(hours=3))
    Task.objects.filter(pk=later.pk).update(due_at=Now() - timedelta(hours=1))
    Task.objects.filter(pk=ready.pk).update(due_at=Now() - timedelta(hours=3))
    Deed.objects.update(at=Now() - timedelta(hours=2))
    while deeds.step(deed.pk):
        pass
    assert Task.objects.get(task=effect.name).pk == later.pk


def test_no_page_tells_of_arguments_those_who_may_not_see_them(client: Client) -> None:
    with_permissions(client, "retry", "discard")
    add.delay_on_commit(1, 4242)
    for page, args in (("tasks", []), ("confirm", ["discard"])):
        answer = read(client, page, *args, q="arg:4242")
        assert "needs the permission to see arguments" in answer, page
        assert "<strong>1</strong>" not in answer
    client.post(reverse("console:do", args=["discard"]), {"q": "arg:4242", "found": "1"})
    assert not Deed.objects.exists()


def test_a_result_is_no_error() -> None:
    effect.delay_on_commit("timeout")
    fails.delay_on_commit("timeout")
    for row in Task.objects.order_by("id"):
        deliver(row)
    assert work_off("retry", "error:timeout", 1).done == 1
    assert Task.objects.filter(task=fails.name).count() == 1
    assert not Task.objects.filter(task=effect.name).exists()


def test_an_argument_is_found_in_any_script(admin_client: Client) -> None:
    effect.apply_async_on_commit(kwargs={"label": "Köln “am Rhein”"})
    for asked in ("arg:Köln", "'arg:label=Köln “am Rhein”'", """'arg:"label": '"""):
        assert "durable_tasks.effect" in read(admin_client, "tasks", q=asked), asked


def test_secret_arguments_can_not_be_asked_for(admin_client: Client) -> None:
    for args, kwargs in (
        (["4111-1111", {"number": 7}], {}),
        ([], {"holder": "4111-1111"}),
        (["x", {"customerCard": "4111-1111", "number": 7}], {}),
    ):
        pays.apply_async_on_commit(args, kwargs)
    effect.apply_async_on_commit(kwargs={"label": "x"}, link=pays.s("4111-1111"))
    add.apply_async_on_commit((1, {"discard": "4111-1111"}))
    page = read(admin_client, "tasks", q="arg:4111")
    assert f"{add.name}</a>" in page
    assert "pays</a>" not in page
    assert "effect</a>" not in page


def test_a_deed_is_stopped_by_those_who_may_do_it(client: Client) -> None:
    with_permissions(client, "pause")
    deed = deeds.of_many("retry", "me", "state:failed", 1)
    stop = reverse("console:stop_deed", args=[deed.pk])
    assert stop not in read(client, "audit")
    assert client.post(stop).status_code == 403
    assert client.post(reverse("console:stop_deed", args=[0])).status_code == 404
    deed.refresh_from_db()
    assert deed.cancelled_at is None


def test_a_stop_and_its_line_are_one_transaction(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    deed = deeds.of_many("retry", "me", "state:failed", 1)
    monkeypatch.setattr(deeds, "note", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        admin_client.post(reverse("console:stop_deed", args=[deed.pk]))
    deed.refresh_from_db()
    assert deed.cancelled_at is None


def test_discarding_wants_a_recent_log_in_here_too(admin_client: Client) -> None:
    [row] = waiting("a")
    session = admin_client.session
    session[recent.STAMP] = 0
    session.save()
    asks = reverse("account:confirm")
    do = reverse("console:do", args=["discard"])
    for given in ({"id": row.pk}, {"q": "task:effect", "found": 1}):
        assert admin_client.post(do, given)["Location"].startswith(asks)
    page = reverse("console:confirm", args=["discard"])
    assert admin_client.get(page, {"q": "task:effect"})["Location"].startswith(asks)
    assert admin_client.get(reverse("console:confirm", args=["retry"])).status_code == 200
    assert Task.objects.filter(pk=row.pk).exists()
    assert not Deed.objects.exists()


def test_people_are_remembered_by_several_threads_at_once(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_seen", {})
    viewer = access.Viewer("u", frozenset(), False)

    def remember(number: int) -> None:
        request: Any = SimpleNamespace(COOKIES={settings.SESSION_COOKIE_NAME: str(number)})
        access._remember(request, viewer)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(remember, range(1000)))
    finally:
        sys.setswitchinterval(interval)
    assert len(access._seen) == 1000
