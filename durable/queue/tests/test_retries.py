"""A retry keeps its row: the same id, the new time, and what the call had asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from celery import states

from durable.queue.endings import janitor
from durable.queue.models import Task
from proj.celery import app
from tests import durable_tasks as tasks

from .delivery import deliver, make_due, message

pytestmark = pytest.mark.usefixtures("effect_table")


def test_a_retry_keeps_the_row_and_its_id_with_the_new_time_in_it() -> None:
    result = tasks.retries.delay_on_commit("a", 2, 60)
    before = Task.objects.get()
    assert deliver().info.state == states.RETRY
    row = Task.objects.get()
    assert (row.id, row.task_id) == (before.id, before.task_id)
    assert (row.due_at - row.created_at).total_seconds() >= 60
    assert (row.worker, row.started_at, row.attempt, row.clean_attempt) == (None, None, 1, 1)
    assert [entry["what"] for entry in row.history] == ["retry"]
    assert result.state == states.RETRY
    assert deliver().info.state == states.RETRY
    deliver()
    assert tasks.effects() == {f"a-{result.id}": 1}
    assert result.get() == 2


def test_a_retry_keeps_the_queue_the_priority_and_the_end_of_its_call() -> None:
    tasks.retries.apply_async_on_commit(["a", 1, 60], queue="mail", priority=3, expires=3600)
    before = Task.objects.get()
    assert deliver().info.state == states.RETRY
    row = Task.objects.get()
    assert (row.queue, row.priority, row.expires) == ("mail", 3, before.expires)


def test_a_retry_may_ask_for_another_queue_priority_and_end() -> None:
    tasks.retries_elsewhere.apply_async_on_commit(["a"], queue="mail", priority=3, expires=60)
    assert deliver().info.state == states.RETRY
    row = Task.objects.get()
    assert (row.queue, row.priority) == ("reports", 6)
    assert row.expires is not None
    assert (row.expires - row.created_at).total_seconds() > 3000
    assert janitor.revoke_expired() == 0
    make_due()
    given = message("reports")
    assert given.properties["priority"] == 6
    assert datetime.fromisoformat(given.headers["expires"]) == row.expires
    assert (given.headers["argsrepr"], given.headers["kwargsrepr"]) == ("(***)", "{***}")
    assert given.delivery_info["redelivered"] is False, "it was asked for"


def test_the_state_of_a_retry_does_not_hide_that_the_next_attempt_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The row is due at once; this process may stand still before it stores RETRY."""
    result = tasks.retries.delay_on_commit("a", 1)
    mark_as_retry = app.backend.mark_as_retry

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        deliver()
        assert not Task.objects.exists()
        return mark_as_retry(*args, **kwargs)

    monkeypatch.setattr(app.backend, "mark_as_retry", late)
    assert deliver().info.state == states.RETRY
    assert result.state == states.SUCCESS
    assert result.get() == 1


def test_autoretry_for_is_a_retry() -> None:
    result = tasks.autoretries.delay_on_commit("a")
    deliver()
    deliver()
    assert result.get() == "a"
    assert tasks.effects() == {"a": 1}


def test_retries_that_run_out_are_a_failure() -> None:
    result = tasks.retries.delay_on_commit("a", 99)
    for _ in range(6):
        deliver()
    assert result.state == states.FAILURE
    assert not Task.objects.exists()


def test_a_retry_that_does_not_end_the_run_succeeds_and_runs_again() -> None:
    tasks.retries_and_goes_on.delay_on_commit("a")
    deliver()
    assert tasks.effects() == {"a": 1}
    deliver()
    assert tasks.effects() == {"a": 2}
    assert not Task.objects.exists()
