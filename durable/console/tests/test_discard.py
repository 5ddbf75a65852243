"""Failures that have ended are discarded: they leave the list of what a person has to look at."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from durable.console import conf, deeds, filters, groups, snapshot
from durable.console.models import Deed
from durable.journal.models import Entry
from durable.queue.endings import quarantine
from durable.queue.models import Task
from durable.queue.tests.delivery import begin, deliver
from tests.durable_tasks import effect, fails

from .conftest import read

User = get_user_model()

pytestmark = pytest.mark.usefixtures("effect_table", "fresh")


def fail(*labels: str) -> list[int]:
    """Let a task fail once for each; return their ids."""
    ids = []
    for label in labels:
        call = fails.delay_on_commit(label)
        deliver(Task.objects.get(task_id=call.id))
        ids.append(Entry.objects.get(task_id=call.id).pk)
    return ids


def discard(client: Client, **given: Any) -> str:
    answer = client.post(reverse("console:do", args=["discard"]), given, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def work_off() -> Deed:
    deliver(Task.objects.get(task__endswith="work_off"))
    return Deed.objects.latest("id")


def test_a_group_is_discarded_by_a_task_that_does_each_once(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conf, "CHUNK", 2)
    ids = fail(*"abcde")
    [group] = groups.failures()
    page = read(admin_client, "failures")
    assert page.count("Discard all…") == 1
    page = read(admin_client, "confirm", "discard", q=group.q)
    assert "<strong>5</strong> tasks" in page
    assert "will leave the list of failures" in page
    assert "Discard: 5" in page
    assert "without running" not in page
    discard(admin_client, q=group.q, found="5")
    [late] = fail("failed after it was confirmed")
    deed = work_off()
    assert (deed.who, deed.what, deed.done, deed.skipped) == ("admin", "discard", 5, 0)
    assert deed.finished_at is not None
    failures = Entry.objects.filter(task=fails.name)
    assert set(failures.exclude(discarded_at=None).values_list("pk", flat=True)) == set(ids)
    assert set(failures.values_list("state", flat=True)) == {"FAILURE"}, "history stays"
    [group] = groups.failures()
    assert (group.times, group.id) == (1, late)
    assert [one.times for one in snapshot.take().failures] == [1], "on Now, too"


def test_a_group_is_found_by_its_filter_alone(admin_client: Client) -> None:
    ids = fail("a", "b", "c")
    Entry.objects.filter(pk=ids[0]).update(error=None, place=None)
    Entry.objects.filter(pk=ids[1]).update(error="NoValueError")
    for group in groups.failures():
        assert deeds.count("discard", filters.parse(group.q)) == (0, 1, False), group.q
        page = admin_client.get(reverse("console:tasks"), {"q": group.q})
        assert [one.id for one in page.context["found"].lines] == [group.id]


def test_a_group_of_the_quarantine_has_one_task_and_one_cause(admin_client: Client) -> None:
    for label in "abc":
        effect.delay_on_commit(label)
    rows = list(Task.objects.order_by("pk"))
    causes = ['it can\'t be read: "x"', "the process\nthat ran it died", "the process died"]
    for row, cause in zip(rows, causes, strict=True):
        Task.objects.filter(pk=row.pk).update(quarantined_at=Now(), error=cause)
    page = read(admin_client, "failures")
    assert page.count("Discard all…") == 3
    for group in groups.quarantined():
        assert f"?{urlencode({'q': group.q})}".replace("&", "&amp;") in page
        assert deeds.count("discard", filters.parse(group.q)) == (1, 0, False), group.q
    discard(admin_client, q=groups.quarantined()[0].q, found="1")
    assert work_off().done == 1
    assert Task.objects.count() == 2


def test_one_that_is_discarded_says_so_and_can_be_started_again(admin_client: Client) -> None:
    [pk] = fail("a")
    assert "will leave the list of failures" in read(admin_client, "task", pk)
    assert "The failure is discarded." in discard(admin_client, id=pk, ended="1")
    assert "further by now" in discard(admin_client, id=pk, ended="1"), "once"
    assert [(one.done, one.skipped) for one in Deed.objects.order_by("id")] == [(1, 0), (0, 1)]
    assert groups.failures() == []
    for text, found in {"state:failed": [], "state:discarded": [pk], "": [pk]}.items():
        listed = admin_client.get(reverse("console:tasks"), {"q": text})
        assert [one.id for one in listed.context["found"].lines] == found, text
    page = read(admin_client, "task", pk)
    assert 'class="tag big discarded"' in page
    assert "Discard it" not in page
    assert page.index(">failed<") < page.index('"what">discarded<')
    answer = admin_client.post(reverse("console:do", args=["retry"]), {"id": pk}, follow=True)
    assert "The task is started again." in answer.content.decode()
    deliver()
    assert len(groups.failures()) == 1, "it has failed anew"


def test_one_that_was_started_again_is_no_failure_any_more(admin_client: Client) -> None:
    [pk] = fail("a")
    admin_client.post(reverse("console:do", args=["retry"]), {"id": pk})
    assert "Discard it" not in read(admin_client, "task", pk)
    assert deeds.count("discard", filters.parse("state:failed")) == (0, 0, False)
    assert "further by now" in discard(admin_client, id=pk, ended="1")


def test_a_failure_is_not_discarded_with_the_task_that_waited(admin_client: Client) -> None:
    call = fails.delay_on_commit("a")
    row = Task.objects.get()
    assert 'name="ended"' not in read(admin_client, "task", row.pk)
    deliver(row)
    assert "further by now" in discard(admin_client, id=row.pk)
    assert Entry.objects.get(task_id=call.id).discarded_at is None


def test_a_filter_of_both_says_how_many_of_each(admin_client: Client) -> None:
    [failed] = fail("a")
    fails.delay_on_commit("waits")
    effect.delay_on_commit("quarantined")
    for _ in range(5):
        begin(Task.objects.get(task=effect.name), "gone")
        quarantine.release("worker = 'gone'", {}, "the process that ran it died")
    page = read(admin_client, "confirm", "discard", q="durable_tasks")
    assert "<strong>2</strong> tasks that <code>durable_tasks</code> finds now will end" in page
    assert "<strong>1</strong> task that <code>durable_tasks</code> finds now will leave" in page
    discard(admin_client, q="durable_tasks", found="3")
    assert work_off().done == 3
    assert not Task.objects.exists()
    assert Entry.objects.get(pk=failed).discarded_at is not None


def test_a_count_that_has_not_looked_at_all_says_so(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fail(*"abc")
    Entry.objects.filter(pk=ids[0]).update(queue="mail")
    monkeypatch.setattr(conf, "SCAN", 1)
    for q, says in {"queue:mail": "0 or more", "queue:default": "2 or more"}.items():
        page = read(admin_client, "confirm", "discard", q=f"{q} state:failed")
        assert f"Discard: {says}" in page
        assert "There may be more" in page
    discard(admin_client, q="queue:mail state:failed", found="0")
    assert work_off().done == 1, "all are looked at when it is done"


def test_it_wants_the_permission_to_discard(client: Client) -> None:
    [pk] = fail("a")
    user = User.objects.create(username="u", is_staff=True)
    of_console = Permission.objects.filter(content_type__app_label="durable_console")
    user.user_permissions.set(of_console.exclude(codename="discard"))
    client.force_login(user)
    page = read(client, "failures")
    assert "Start all again…" in page
    assert "Discard all…" not in page
    assert "You may not do this" in read(client, "confirm", "discard", q="state:failed")
    for given in ({"id": pk, "ended": "1"}, {"q": "state:failed", "found": "1"}):
        answer = client.post(reverse("console:do", args=["discard"]), given)
        assert answer.status_code == 403
    assert not Deed.objects.exists()
    assert Entry.objects.get(pk=pk).discarded_at is None


def test_the_line_of_the_audit_and_the_deed_are_one_transaction(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    [pk] = fail("a")
    monkeypatch.setattr(Deed.objects, "using", lambda alias: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deeds.of_one("discard", "me", "x", pk)
    assert Entry.objects.get(pk=pk).discarded_at is None
