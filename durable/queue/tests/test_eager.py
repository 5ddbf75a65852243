"""Eager mode runs a task after the commit, and its result is then what ``delay()`` would return."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import shared_task, states
from django.db import transaction
from django.test import TestCase

from durable.queue.models import Task
from proj.celery import app
from tests.durable_tasks import effect, effects, fails, retries

pytestmark = pytest.mark.usefixtures("eager")
committed = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("effect_table")]


@pytest.fixture
def propagates() -> Iterator[None]:
    """Set ``CELERY_TASK_EAGER_PROPAGATES``."""
    app.conf.task_eager_propagates = True
    yield
    app.conf.task_eager_propagates = False


class TestACommit:
    pytestmark = committed

    def test_is_followed_by_the_task_and_the_row_is_gone(self) -> None:
        with transaction.atomic():
            result = effect.delay_on_commit("a")
            assert effects() == {}
        assert effects() == {"a": 1}
        assert result.get(timeout=5) == "a"
        assert (result.state, result.ready()) == (states.SUCCESS, True)
        assert not Task.objects.exists()

    def test_of_many_calls_runs_them_all(self) -> None:
        assert effect.map_on_commit(["a", "b"]) == 2
        assert effects() == {"a": 1, "b": 1}

    def test_raises_no_failure_which_get_does(self) -> None:
        result = fails.delay_on_commit("a")
        assert result.state == states.FAILURE
        assert "ValueError" in result.traceback
        with pytest.raises(ValueError, match=r"^a$"):
            result.get(timeout=5)
        assert isinstance(result.get(timeout=5, propagate=False), ValueError)
        assert not Task.objects.exists()

    def test_runs_a_retry_too_whose_result_counts(self) -> None:
        assert retries.delay_on_commit("a", 2).get(timeout=5) == 2
        assert [label[:2] for label in effects()] == ["a-"]
        assert not Task.objects.exists()

    @pytest.mark.usefixtures("propagates")
    def test_that_raises_a_failure_leaves_no_row(self) -> None:
        with pytest.raises(ValueError, match=r"^a$"):
            fails.delay_on_commit("a")
        assert effects() == {}
        assert not Task.objects.exists()

    @pytest.mark.parametrize("everything", [False, True])
    def test_has_nothing_to_do_with_a_plain_call(self, settings: object, everything: bool) -> None:
        settings.DURABLE_DELAY = everything  # type: ignore[attr-defined]
        with transaction.atomic():
            assert effect.delay("a").get() == "a"
            assert not Task.objects.exists()


ran: list[str] = []


@shared_task
def notes(label: str) -> str:
    """Say that it ran."""
    ran.append(label)
    return label


class TestInATestCase(TestCase):
    """A project's own tests stand in a transaction that never commits; captured callbacks stay in
    the connection's list."""

    def setUp(self) -> None:
        ran.clear()
        notes.delay_on_commit("from setUp")

    def test_what_each_block_captures_is_what_was_called_in_it(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as first:
            notes.delay_on_commit("first")
        with self.captureOnCommitCallbacks(execute=True) as second, transaction.atomic():
            result = notes.delay_on_commit("second")
        assert ran == ["first", "second"]
        assert (len(first), len(second)) == (1, 1)
        assert result.get(timeout=5) == "second"

    def test_what_a_savepoint_rolled_back_is_not_captured(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as captured, transaction.atomic():
            notes.delay_on_commit("kept")
            with transaction.atomic():
                notes.delay_on_commit("gone")
                transaction.set_rollback(True)
        assert ran == ["kept"]
        assert len(captured) == 1
