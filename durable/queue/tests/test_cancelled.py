"""A task hears that it is cancelled: when it asks, and at its next query."""

from __future__ import annotations

from typing import Any

import pytest
from celery import shared_task, states

from durable.queue import store
from durable.queue.models import Task
from durable.queue.worker import attempt
from tests.durable_tasks import effect, effects, write

from .delivery import deliver


@shared_task(bind=True)
def overtaken(self: Any, catches: bool) -> str:
    """Be overtaken by another attempt, and go on."""
    assert not self.cancelled()
    Task.objects.update(attempt=2)
    try:
        write("a query")
    except attempt.Cancelled:
        if not catches:
            raise
    write("another query")
    return "done"


@pytest.mark.parametrize("catches", [False, True])
def test_a_query_ends_what_can_not_commit_any_more(
    effect_table: None, monkeypatch: pytest.MonkeyPatch, catches: bool
) -> None:
    monkeypatch.setattr(attempt, "ASK", 0)
    overtaken.delay_on_commit(catches)
    done = deliver()
    assert done.info.state == states.IGNORED
    assert isinstance(done.info.retval, attempt.Cancelled)
    assert not effects()


@pytest.mark.parametrize(
    ("ask", "asked"), [(3600, 0), (0, 1)]
)  # seconds; short is what ends before
def test_the_database_is_asked_only_for_a_long_task(
    effect_table: None, monkeypatch: pytest.MonkeyPatch, ask: int, asked: int
) -> None:
    questions, is_newest = [], store.is_newest

    def spied(row_id: int, number: int) -> bool:
        questions.append(row_id)
        return is_newest(row_id, number)

    monkeypatch.setattr(attempt, "ASK", ask)  # seconds
    monkeypatch.setattr(store, "is_newest", spied)
    effect.delay_on_commit("a query")
    deliver()
    assert effects() == {"a query": 1}
    assert len(questions) == asked


def test_what_was_called_as_a_function_is_never_cancelled() -> None:
    @shared_task(bind=True, name="tests.asks")
    def asks(self: Any) -> bool:
        return bool(self.cancelled())

    assert asks() is False
