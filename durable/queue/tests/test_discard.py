"""*Discard* ends what no worker runs: a backlog, a scheduled call, a part of a chord."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import chord, states
from django.db import connection, connections, transaction
from django.db.models.functions import Now
from django.test import Client

from durable.queue import quarantine, store
from durable.queue.calls import durable
from durable.queue.discard import discard
from durable.queue.models import Task
from tests.containers import wait_until
from tests.durable_tasks import add, effect, keeps_no_result
from tests.fixtures_durable import client as broker
from tests.fixtures_worker import purge_queues

from .test_admin import act

pytestmark = pytest.mark.usefixtures("effect_table")


@pytest.fixture(autouse=True)
def empty_broker(effect_table: None) -> None:
    purge_queues()


def every_id() -> list[int]:
    return list(Task.objects.order_by("-id").values_list("id", flat=True))


def test_what_waits_is_revoked_whether_it_is_due_sent_or_scheduled(client: Client) -> None:
    calls = [effect.delay_on_commit("sent"), effect.delay_on_commit("due")]
    calls.append(effect.apply_async_on_commit(["scheduled"], countdown=86_400))
    Task.objects.filter(task_id=calls[1].id).update(due_at=Now())
    assert "3 tasks are discarded." in act(client, "discard", *Task.objects.all())
    assert [call.state for call in calls] == [states.REVOKED] * 3
    assert "discarded by root" in str(calls[0].result)
    assert not Task.objects.exists()


def test_what_runs_now_is_left_and_counted(client: Client) -> None:
    runs, waits = effect.delay_on_commit("runs"), effect.delay_on_commit("waits")
    row = Task.objects.get(task_id=runs.id)
    assert store.claim(row.id, 0, "a worker") == 1
    page = act(client, "discard", *Task.objects.all())
    assert "1 tasks are discarded." in page
    assert "1 tasks run now and are left; app.control.revoke(id, terminate=True)" in page
    assert Task.objects.get() == row
    assert (runs.state, waits.state) == (states.PENDING, states.REVOKED)


def test_a_backlog_longer_than_a_batch_ends_whole(settings: Any) -> None:
    settings.DURABLE_BATCH = 2
    for number in range(5):
        keeps_no_result.delay_on_commit(number)
    assert discard(every_id(), "me") == (5, 0, [])
    assert not Task.objects.exists()


def test_a_message_that_arrives_later_is_turned_away(start_role: Callable[..., Any]) -> None:
    call = effect.delay_on_commit("late")
    assert broker().llen("default") == 1
    discard(every_id(), "me")
    start_role("worker", CELERY_IMPORTS="tests.durable_tasks")
    after = effect.delay_on_commit("after")
    assert after.get(timeout=180) == "after"
    wait_until(lambda: not Task.objects.exists(), "the other one is done")
    assert call.state == states.REVOKED
    with connection.cursor() as cursor:
        cursor.execute("SELECT label FROM test_effect")
        assert cursor.fetchall() == [("after",)]


def test_the_body_of_a_chord_fails_with_the_part_that_is_discarded() -> None:
    with durable():
        body = chord([add.s(1), add.s(2)], add.s()).delay()
    discard(every_id(), "me")
    assert body.state == states.FAILURE
    assert not Task.objects.exists()


def test_one_that_nobody_can_read_is_revoked_too() -> None:
    call = effect.delay_on_commit("a")
    Task.objects.update(body="not JSON")
    assert discard(every_id(), "me").ended == 1
    assert call.state == states.REVOKED


@pytest.mark.parametrize("action", [discard, quarantine.start_again])
def test_two_at_once_lock_in_the_same_order_so_that_neither_waits_for_ever(
    action: Callable[[list[int], str], Any],
) -> None:
    for label in ("first", "second"):
        effect.delay_on_commit(label)
    first, second = Task.objects.order_by("id")
    Task.objects.update(quarantined_at=Now(), due_at=None)
    Task.objects.filter(id=first.id).update(error="now it lies behind the second one")

    def act_on_both() -> None:
        try:
            with (
                connection.cursor() as cursor
            ):  # it reads the rows as they lie, as it may choose to
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
