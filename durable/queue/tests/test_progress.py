"""How far a task is: seen at once, throttled, and followed by a page until its end."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import shared_task
from django.db import connection
from django.template import engines
from django.test import Client

from durable.housekeeping.tasks import purge_seen
from durable.queue import events, progress
from durable.queue.models import Progress, Task
from tests.durable_tasks import effect

from .delivery import deliver


def look_from_outside(task_id: str) -> progress.Event:
    """Return what another connection sees."""

    def look() -> progress.Event:
        try:
            return progress.look(task_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(look).result()


@shared_task(bind=True)
def counts(self: Any, total: int) -> None:
    """Tell each step, within the transaction that an atomic task is."""
    for number in range(1, total + 1):
        self.progress(number, total, f"step {number}")
    SEEN.append(look_from_outside(self.request.id))


SEEN: list[progress.Event] = []


def path_of(task_id: str) -> str:
    page = (
        engines["django"]
        .from_string("{% load task_events %}{% task_progress task_id %}")
        .render({"task_id": task_id})
    )
    return str(page).split('data-events="')[1].split('"')[0]


def streamed(client: Client, path: str) -> Any:
    return client.get(path, headers={"Accept": "text/event-stream"})


def test_is_seen_at_once_although_the_task_is_a_transaction(
    effect_table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    SEEN.clear()
    told, tell = [], progress.tell

    def spied(*args: Any) -> None:
        told.append(args[3])
        tell(*args)

    monkeypatch.setattr(progress, "tell", spied)
    result = counts.delay_on_commit(1000)
    deliver()
    assert [progress.Event("running", 1, 1000, 1000, "step 1000", False)] == SEEN
    assert len(told) < 50, "throttled: but the first and the last are written"
    assert (told[0], told[-1]) == (1, 1000)
    assert look_from_outside(result.id)._replace(attempt=0) == progress.Event(
        "done", 0, 1000, 1000, "step 1000", True
    )


def close(answer: Any) -> None:
    """Close an answer without the signal of its end, by which Django closes the connection."""
    for closes in answer._resource_closers:
        closes()


@pytest.mark.django_db
class TestAPage:
    def test_follows_a_task_to_its_end(self, client: Client) -> None:
        result = effect.delay_on_commit("a")
        path = path_of(result.id)
        answer = client.get(path)
        assert (answer.json()["state"], answer.json()["finished"]) == ("ready", False)
        answered = streamed(client, path)
        stream = iter(answered)
        first = next(stream)
        assert json.loads(first.split(b"data: ")[1])["state"] == "ready"
        progress.tell(result.id, None, 1, 5, 10, "half")
        second = next(part for part in stream if b"data" in part)
        assert json.loads(second.split(b"data: ")[1])["message"] == "half"
        close(answered)  # else its place is taken until a garbage collection

    def test_is_answered_once_while_as_many_streams_are_open_as_may_be(
        self, client: Client
    ) -> None:
        path = path_of(effect.delay_on_commit("a").id)
        first = streamed(client, path)
        assert first["Content-Type"] == "text/event-stream"
        assert streamed(client, path)["Content-Type"] == "application/json"
        close(first)
        again = streamed(client, path)
        assert again["Content-Type"] == "text/event-stream"
        close(again)

    def test_is_told_nothing_of_a_task_that_it_was_not_given(self, client: Client) -> None:
        task_id = effect.delay_on_commit("a").id
        assert client.get(f"/tasks/{task_id}:forged/events").status_code == 404

    def test_of_a_stream_that_ends_the_place_is_free(self) -> None:
        stream = events.Stream(lambda: None, {"finished": True})
        assert events.streams().acquire(blocking=False)
        assert b"".join(stream).endswith(b'data: {"finished": true}\n\n')
        stream.close()
        stream.close()
        assert events.streams().acquire(blocking=False)
        events.streams().release()


@pytest.mark.django_db
def test_a_row_is_found_by_the_id_of_its_task_however_many_there_are() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # as with many rows
    assert "durable_task_task_id" in Task.objects.filter(task_id="x").explain()


@pytest.mark.django_db
def test_the_events_of_a_task_end_with_it(effect_table: None) -> None:
    result = effect.delay_on_commit("a")
    found = progress.task_events(result.id)
    assert next(found).state == "ready"
    deliver()
    assert [event.state for event in found] == ["done"]


@pytest.mark.django_db
def test_what_is_old_is_deleted() -> None:
    progress.tell("x", None, 1, 5, None, "")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE durable_progress SET at = at - interval '2 days'")
    purge_seen()
    assert not Progress.objects.exists()
