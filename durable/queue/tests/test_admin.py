"""The quarantine in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from celery import states
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from durable.queue import store
from durable.queue.heartbeat import give_up
from durable.queue.models import Task
from tests.durable_tasks import effect, effects
from tests.fixtures_worker import purge_queues

pytestmark = pytest.mark.usefixtures("effect_table")


@pytest.fixture
def quarantined() -> Task:
    purge_queues()
    effect.apply_async_on_commit(["a"], link_error=effect.si("error"))
    row = Task.objects.get()
    for number in range(5):
        assert store.claim(row.id, number, "gone") == number + 1
        give_up("worker = %(me)s", {"me": "gone"}, "the process that ran it died")
    row.refresh_from_db()
    assert row.quarantined_at is not None
    return row


def act(client: Client, action: str, *rows: Task) -> str:
    root: dict[str, Any] = {"username": "root", "is_superuser": True, "is_staff": True}
    client.force_login(get_user_model().objects.get_or_create(**root)[0])
    url = reverse("admin:durable_entry_changelist")
    chosen = [row.pk for row in rows]
    answer = client.post(url, {"action": action, "_selected_action": chosen}, follow=True)
    page = answer.content.decode()
    for pk in chosen:
        change = reverse("admin:durable_entry_change", args=[pk])
        assert client.get(change).status_code in {200, 302}
    for state in ("quarantined", "running", "to be sent", "sent"):
        assert client.get(url, {"state": state}).status_code == 200
    assert client.get(reverse("admin:durable_worker_changelist")).status_code == 200
    return page


def test_a_quarantined_task_shows_its_history_and_has_failed(quarantined: Task) -> None:
    assert [entry["start"] for entry in quarantined.history] == [1, 2, 3, 4, 5]
    assert quarantined.error == "the process that ran it died"
    assert effect.AsyncResult(quarantined.task_id).state == states.FAILURE
    assert store.claim(quarantined.id, 5, "me") is None


def test_requeue_lets_it_start_again(client: Client, quarantined: Task) -> None:
    assert "1 tasks are sent again." in act(client, "requeue", quarantined)
    [row] = store.lease(10)
    assert (row.id, row.starts) == (quarantined.id, 5)
    assert store.claim(row.id, 5, "me") == 6


def test_it_says_who_started_it_again_in_its_history(client: Client, quarantined: Task) -> None:
    act(client, "requeue", quarantined)
    quarantined.refresh_from_db()
    assert (quarantined.reported, quarantined.error) == (5, "")
    assert quarantined.history[-1]["what"] == "started again by root"


def test_discard_ends_it_also_if_its_error_callbacks_cannot_be_sent(client: Client) -> None:
    unsendable = effect.si("told").set(serializer="of another planet")
    effect.apply_async_on_commit(["a"], link_error=unsendable)
    Task.objects.update(quarantined_at=Now(), due_at=None)
    row = Task.objects.get()
    page = act(client, "discard", row)
    assert "1 tasks are discarded." in page
    assert f"{row.task_id}]: those that depend on it could not be told" in page
    assert not Task.objects.exists()
    assert effect.AsyncResult(row.task_id).state == states.FAILURE


def test_discard_ends_it_with_its_error_callbacks(client: Client, quarantined: Task) -> None:
    assert "1 tasks are discarded." in act(client, "discard", quarantined)
    assert not Task.objects.exists()
    assert effect.AsyncResult(quarantined.task_id).state == states.FAILURE
    assert effects() == {}
