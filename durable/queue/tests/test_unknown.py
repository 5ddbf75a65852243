"""A message that no task of a worker answers to gives its row back, later each time."""

from __future__ import annotations

import json

import pytest
from celery import states
from celery.utils.collections import AttributeDict
from django.db.models.functions import Now
from kombu import compression

from durable.queue import broker, conf, store, unknown
from durable.queue.models import Task
from durable.queue.tries import LONGEST_PAUSE
from durable.queue.unsent import MOST
from tests.durable_tasks import effect
from tests.fixtures_durable import TASKS, send
from tests.fixtures_worker import StartRole, purge_queues, wait_for

WHY = "tests.durable_tasks.effect is unknown to it"


@pytest.fixture(autouse=True)
def row(effect_table: None) -> Task:
    purge_queues()
    send(effect, ["a"])
    return Task.objects.get()


def is_sent() -> store.Row:
    """Let the row be due, and send it."""
    Task.objects.update(due_at=Now())
    [row] = store.lease(10)
    store.mark_sent([row])
    return row


def tries(times: int) -> Task:
    for _ in range(times):
        row = is_sent()
        unknown.report(row.id, row.starts, row.at, WHY)
    return Task.objects.get(task=effect.name)


def test_its_pauses_get_longer() -> None:
    pauses = []
    for _ in range(MOST - 1):
        assert tries(1).quarantined_at is None
        [[seconds]] = store.run(
            "SELECT round(extract(epoch FROM due_at - (history -> -1 ->> 'at')::timestamptz))"
            "::int FROM durable_task"
        )
        pauses.append(seconds)
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == LONGEST_PAUSE


def test_it_has_failed_once_it_is_in_quarantine_and_not_before(row: Task) -> None:
    tries(MOST - 1)
    result = effect.AsyncResult(row.task_id)
    assert result.state == states.PENDING
    found = tries(1)
    assert found.quarantined_at is not None
    assert result.state == states.FAILURE
    for text in (found.error, str(result.result)):
        assert WHY in text
        assert "12 times" in text
        assert "for the queue default" in text


def test_copies_of_a_message_count_once() -> None:
    row = is_sent()
    for _ in range(MOST + 1):
        unknown.report(row.id, row.starts, row.at, WHY)
    assert len(Task.objects.get().history) == 1


def test_a_late_copy_does_not_touch_a_start_that_runs() -> None:
    row = is_sent()
    assert store.claim(row.id, 0, "elsewhere") == 1
    unknown.report(row.id, row.starts, row.at, WHY)
    found = Task.objects.get()
    assert (found.worker, found.due_at, found.history) == ("elsewhere", None, [])


def test_a_message_that_comes_before_its_sender_has_said_so_keeps_its_pause() -> None:
    Task.objects.update(due_at=Now())
    [row] = store.lease(10)
    unknown.report(row.id, row.starts, row.at, WHY)
    store.mark_sent([row])
    assert Task.objects.get().due_at is not None


def test_the_pause_does_not_keep_a_worker_that_knows_the_task_from_running_it() -> None:
    """Its message may have come twice, to workers of both versions."""
    row = is_sent()
    unknown.report(row.id, row.starts, row.at, WHY)
    assert store.claim(row.id, 0, "of the next version") == 1


def test_a_message_that_celery_cannot_read_gives_its_row_back_as_well() -> None:
    row = is_sent()
    message = AttributeDict(headers={conf.HEADER: [row.id, row.starts, row.at, "default/0"]})
    unknown.after_rejection(message, exc=ValueError("no list"))
    found = Task.objects.get()
    assert found.due_at is not None
    assert found.error == "not accepted by a worker: ValueError('no list')"


def test_a_message_without_a_row_is_let_be() -> None:
    unknown.after_rejection(AttributeDict(headers=None), exc=None)
    assert Task.objects.get().history == []


def test_a_worker_that_cannot_decode_a_message_gives_its_row_back(
    start_role: StartRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of an image that lacks a library, of which its sender has made use."""
    monkeypatch.setitem(compression._encoders, "nowhere", lambda text: text)
    args, kwargs, kept = json.loads(Task.objects.get().body)
    body = json.dumps([args, kwargs, {**kept, "compression": "nowhere"}])
    Task.objects.update(due_at=Now())
    [row] = store.lease(10)
    broker.publish([row._replace(body=body)])
    store.mark_sent([row])
    start_role("worker", **TASKS)
    wait_for(lambda: Task.objects.get().history, "it is given back")
    found = Task.objects.get()
    assert found.error.startswith("not accepted by a worker: ")
    assert "it can't decode the message" in found.error
    assert (found.starts, found.worker) == (0, None)
    assert found.due_at is not None
