"""A final failure whose handling fails is the end all the same, or leads to quarantine."""

from __future__ import annotations

import pytest
from celery import states
from celery.result import AsyncResult
from django_celery_results.models import TaskResult

from durable.queue.models import Task
from durable.queue.tasks import call_on_failure
from tests import durable_tasks as tasks

from .delivery import begin, deliver

pytestmark = pytest.mark.usefixtures("effect_table")

UGLY = "NUL \0 and half a pair \udc80"


def test_an_error_text_that_postgresql_cannot_hold_is_stored_with_escapes() -> None:
    result = tasks.fails_with.delay_on_commit(UGLY)
    deliver()
    assert result.state == states.FAILURE
    traceback = TaskResult.objects.get().traceback
    assert traceback is not None
    assert r"NUL \x00 and half a pair \udc80" in traceback
    assert not Task.objects.exists()


def test_a_retry_because_of_such_an_error_is_a_retry() -> None:
    result = tasks.fails_with.delay_on_commit(UGLY, retry=True)
    assert deliver().info.state == states.RETRY
    assert result.state == states.RETRY
    row = Task.objects.get()
    assert (row.attempt, row.clean_attempt) == (1, 1)
    assert row.error == r"retry: NUL \x00 and half a pair \udc80"


def test_an_on_failure_that_raises_does_not_start_the_task_again_and_is_called_again() -> None:
    tasks.Stumbles.told = 0
    result = tasks.stumbles.delay_on_commit("a")
    deliver()
    assert result.state == states.FAILURE
    assert repr(result.result) == "ValueError('a')"
    assert Task.objects.get().task == call_on_failure.name
    deliver()
    assert tasks.effects() == {"a: ValueError('a')": 1}
    assert not Task.objects.exists()


def test_a_before_start_that_raises_is_a_final_failure_as_in_celery() -> None:
    """Celery calls it before the row is begun, so that no attempt was counted."""
    result = tasks.never_begins.delay_on_commit("a")
    row = Task.objects.get()
    deliver()
    assert not Task.objects.exists()
    assert result.state == states.FAILURE
    deliver(row)
    assert tasks.effects() == {}


def test_a_copy_whose_before_start_raises_does_not_end_the_attempt_that_runs() -> None:
    tasks.never_begins.delay_on_commit("a")
    row = Task.objects.get()
    assert begin(row, "elsewhere") == 1
    deliver(row)
    assert Task.objects.get().worker == "elsewhere"


@pytest.mark.filterwarnings("ignore:Exception raised outside body")  # Celery says it so
def test_a_failure_that_cannot_be_handled_ends_in_quarantine_with_the_last_error() -> None:
    unsendable = tasks.effect.si("told").set(serializer="of another planet")
    result = tasks.fails.apply_async_on_commit(["a"], link_error=unsendable)
    for number in (1, 2, 3, 4):
        deliver()
        row = Task.objects.get()
        assert (row.attempt, row.clean_attempt, row.worker) == (number, 0, None)
        # And not what kept it from being recorded.
        assert repr(AsyncResult(result.id).result) == "ValueError('a')"
    deliver()
    row = Task.objects.get()
    assert row.quarantined_at is not None
    assert row.error.startswith("its end could not be recorded: ")
    assert "of another planet" in row.error
    assert result.state == states.FAILURE
    assert {line["what"] for line in row.history} == {row.error}
