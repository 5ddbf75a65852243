"""Eager mode runs a task after the commit, and its result is then what ``delay()`` would return."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import states
from django.db import transaction

from durable.queue.models import Task
from proj.celery import app
from tests.durable_tasks import effect, effects, fails, retries

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("effect_table", "eager"),
]


@pytest.fixture
def propagates() -> Iterator[None]:
    """Set ``CELERY_TASK_EAGER_PROPAGATES``."""
    app.conf.task_eager_propagates = True
    yield
    app.conf.task_eager_propagates = False


def test_it_runs_after_the_commit_and_the_row_is_gone() -> None:
    with transaction.atomic():
        result = effect.delay_on_commit("a")
        assert effects() == {}
    assert effects() == {"a": 1}
    assert result.get(timeout=5) == "a"
    assert (result.state, result.ready()) == (states.SUCCESS, True)
    assert not Task.objects.exists()


def test_a_failure_is_raised_by_get_and_not_by_the_call() -> None:
    result = fails.delay_on_commit("a")
    assert result.state == states.FAILURE
    assert "ValueError" in result.traceback
    with pytest.raises(ValueError, match=r"^a$"):
        result.get(timeout=5)
    assert isinstance(result.get(timeout=5, propagate=False), ValueError)
    assert not Task.objects.exists()


def test_the_result_of_a_task_that_retries_is_that_of_its_last_run() -> None:
    assert retries.delay_on_commit("a", 2).get(timeout=5) == 2
    assert not Task.objects.exists()


@pytest.mark.usefixtures("propagates")
def test_a_failure_that_the_call_raises_leaves_no_row() -> None:
    with pytest.raises(ValueError, match=r"^a$"):
        fails.delay_on_commit("a")
    assert effects() == {}
    assert not Task.objects.exists()
