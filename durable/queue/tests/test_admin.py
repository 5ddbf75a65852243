"""Tasks in the admin: *Start again* for the quarantine, *Discard* for all but what runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import chord, states
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from durable.queue import conf, store
from durable.queue.caller.calls import durable
from durable.queue.endings import quarantine
from durable.queue.endings.actions import discard
from durable.queue.models import Task, Worker
from durable.queue.states import STATES
from tests.containers import wait_until
from tests.durable_tasks import add, effect, effects, keeps_no_result

from .delivery import begin, deliver, hold

pytestmark = pytest.mark.usefixtures("effect_table")


def act(client: Client, action: str, *rows: Task) -> str:
    root: dict[str, Any] = {"username": "root", "is_superuser": True, "is_staff": True}
    client.force_login(get_user_model().objects.get_or_create(**root)[0])
    chosen = {"action": action, "_selected_action": [row.pk for row in rows]}
    answer = client.post(reverse("admin:durable_task_changelist"), chosen, follow=True)
    return answer.content.decode()


def every_id() -> list[int]:
    return list(Task.objects.order_by("-id").values_list("id", flat=True))


@pytest.fixture
def quarantined() -> Task:
    effect.apply_async_on_commit(["a"], link_error=effect.si("error"))
    row = Task.objects.get()
    for number in range(5):
        assert begin(row, "gone") == number + 1
        quarantine.release("worker = 'gone'", {}, "the process that ran it died")
    row.refresh_from_db()
    assert row.quarantined_at is not None
    return row


def test_each_state_shows_its_rows(admin_client: Client, quarantined: Task) -> None:
    for _ in range(3):
        effect.delay_on_commit("a")
    effect.apply_async_on_commit(["a"], countdown=600)
    effect.apply_async_on_commit(["a"], concurrency_key="k")
    begin(Task.objects.filter(quarantined_at=None).order_by("id")[0])
    hold()
    Worker.objects.create(id="w", hostname="h", pid=1, slots=1)
    url = reverse("admin:durable_task_changelist")
    for state in STATES:
        page = admin_client.get(url, {"state": state})
        assert page.context["cl"].result_count == 1, state
    change = reverse("admin:durable_task_change", args=[quarantined.pk])
    assert admin_client.get(change).status_code == 200
    assert b"1 worker" in admin_client.get(reverse("admin:durable_worker_changelist")).content


def test_a_quarantined_task_shows_its_history_and_has_failed(quarantined: Task) -> None:
    assert [line["attempt"] for line in quarantined.history] == [1, 2, 3, 4, 5]
    assert quarantined.error == "the process that ran it died"
    assert effect.AsyncResult(quarantined.task_id).state == states.FAILURE
    assert (begin(quarantined), hold()) == (0, [])


def test_requeue_lets_it_start_again_and_says_who_did(client: Client, quarantined: Task) -> None:
    assert "1 tasks are ready again." in act(client, "requeue", quarantined)
    quarantined.refresh_from_db()
    assert (quarantined.clean_attempt, quarantined.error) == (5, "")
    assert quarantined.history[-1]["what"] == "started again by root"
    assert begin(quarantined) == 6


class TestDiscard:
    def test_ends_what_is_in_quarantine_with_its_error_callbacks(
        self, client: Client, quarantined: Task
    ) -> None:
        assert "1 tasks are discarded." in act(client, "discard", quarantined)
        assert not Task.objects.filter(pk=quarantined.pk).exists()
        assert effect.AsyncResult(quarantined.task_id).state == states.FAILURE
        assert effects() == {}

    def test_ends_it_also_if_its_error_callbacks_cannot_be_sent(self, client: Client) -> None:
        unsendable = effect.si("told").set(serializer="of another planet")
        effect.apply_async_on_commit(["a"], link_error=unsendable)
        Task.objects.update(quarantined_at=Now())
        row = Task.objects.get()
        page = act(client, "discard", row)
        assert "1 tasks are discarded." in page
        assert f"{row.task_id}]: those that depend on it could not be told" in page
        assert not Task.objects.exists()
        assert effect.AsyncResult(row.task_id).state == states.FAILURE

    def test_revokes_what_waits_whether_it_is_ready_held_or_scheduled(self, client: Client) -> None:
        calls = [effect.delay_on_commit("held"), effect.delay_on_commit("ready")]
        calls.append(effect.apply_async_on_commit(["scheduled"], countdown=86_400))
        [held] = hold()
        rows = list(Task.objects.order_by("id"))
        assert "3 tasks are discarded." in act(client, "discard", *rows)
        assert [call.state for call in calls] == [states.REVOKED] * 3
        assert "discarded by root" in str(calls[0].result)
        assert held.id == rows[0].pk
        assert deliver(rows[0]).info.state == states.IGNORED, "its worker finds it gone"
        assert (effects(), calls[0].state) == ({}, states.REVOKED)

    def test_leaves_what_runs_now_and_counts_it(self, client: Client) -> None:
        runs, waits = effect.delay_on_commit("runs"), effect.delay_on_commit("waits")
        row = Task.objects.get(task_id=runs.id)
        assert begin(row) == 1
        page = act(client, "discard", *Task.objects.all())
        assert "1 tasks are discarded." in page
        assert "1 tasks run now and are left; app.control.revoke(id, terminate=True)" in page
        assert Task.objects.get() == row
        assert (runs.state, waits.state) == (states.PENDING, states.REVOKED)

    def test_ends_a_backlog_longer_than_a_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(conf, "BATCH", 2)
        for number in range(5):
            keeps_no_result.delay_on_commit(number)
        assert discard(every_id(), "me") == (5, 0, [])
        assert not Task.objects.exists()

    def test_of_a_part_of_a_chord_fails_its_body(self) -> None:
        with durable():
            body = chord([add.s(1), add.s(2)], add.s()).delay()
        discard(every_id(), "me")
        assert body.state == states.FAILURE
        assert not Task.objects.exists()

    def test_revokes_one_that_cannot_be_read_too(self) -> None:
        call = effect.delay_on_commit("a")
        Task.objects.update(body="not JSON")
        assert discard(every_id(), "me").ended == 1
        assert call.state == states.REVOKED


@pytest.mark.parametrize("action", [discard, quarantine.requeue])
def test_two_at_once_lock_in_the_same_order_so_that_neither_waits_for_ever(
    action: Callable[[list[int], str], Any],
) -> None:
    for label in ("first", "second"):
        effect.delay_on_commit(label)
    first, second = Task.objects.order_by("id")
    Task.objects.update(quarantined_at=Now())
    Task.objects.filter(id=first.id).update(error="now it lies behind the second one")

    def act_on_both() -> None:
        try:
            with connection.cursor() as cursor:  # it reads the rows as they lie, as it may choose
                cursor.execute("SET enable_indexscan = off; SET enable_bitmapscan = off")
            action([second.id, first.id], "another")
        finally:
            connections.close_all()

    waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
    other = threading.Thread(target=act_on_both)
    with transaction.atomic():
        Task.objects.select_for_update().get(id=first.id)
        other.start()
        wait_until(lambda: store.run(waits), "the other one waits for the first row", 60)
        Task.objects.select_for_update(nowait=True).get(id=second.id)
    other.join(timeout=60)
    assert not Task.objects.filter(quarantined_at__isnull=False).exists()


def test_a_page_shows_no_arguments(admin_client: Client) -> None:
    effect.apply_async_on_commit(["my-argument"], argsrepr="my-argument")
    page = admin_client.get(reverse("admin:durable_task_change", args=[Task.objects.get().pk]))
    assert effect.name in page.content.decode()
    assert "my-argument" not in page.content.decode()
