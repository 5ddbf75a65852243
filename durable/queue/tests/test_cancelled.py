"""A task hears that it is cancelled: when it asks, and at its next query."""

from __future__ import annotations

from typing import Any

import pytest
from celery import shared_task, states

from durable.queue.models import Task
from durable.queue.worker import attempt
from tests.durable_tasks import effects, write

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


def test_a_short_task_is_asked_nothing(
    effect_table: None, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "ASK", 3600)  # seconds; short is what ends before

    @shared_task(name="tests.asks_nothing")
    def asks_nothing() -> None:
        with django_assert_num_queries(1):
            write("a query")

    asks_nothing.delay_on_commit()
    deliver()
    assert effects() == {"a query": 1}


def test_what_was_called_as_a_function_is_never_cancelled() -> None:
    @shared_task(bind=True, name="tests.asks")
    def asks(self: Any) -> bool:
        return bool(self.cancelled())

    assert asks() is False
