"""An attempt runs only while its row exists; its end is part of the task's own transaction."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord, states
from django.db import transaction
from pytest_django import Settings

from durable.queue import store
from durable.queue.caller.calls import durable
from durable.queue.models import Task
from tests import durable_tasks as tasks

from .delivery import begin, deliver

pytestmark = pytest.mark.usefixtures("effect_table")


def test_the_row_its_effects_and_its_result_end_together() -> None:
    result = tasks.effect.delay_on_commit("a")
    deliver()
    assert not Task.objects.exists()
    assert tasks.effects() == {"a": 1}
    assert (result.state, result.get()) == (states.SUCCESS, "a")


def test_a_late_copy_of_a_finished_task_does_nothing_and_keeps_its_result() -> None:
    result = tasks.effect.delay_on_commit("a")
    row = Task.objects.get()
    deliver(row)
    outcome = deliver(row)
    assert outcome.info.state == states.IGNORED
    assert tasks.effects() == {"a": 1}
    assert (result.state, result.get()) == (states.SUCCESS, "a")


def test_a_copy_of_a_running_task_is_turned_away() -> None:
    tasks.effect.delay_on_commit("a")
    row = Task.objects.get()
    assert begin(row, "elsewhere") == 1
    assert deliver(row).info.state == states.IGNORED
    assert deliver(row, attempt=1).info.state == states.IGNORED
    assert tasks.effects() == {}


def test_a_message_of_another_task_finds_no_row_whatever_its_number() -> None:
    own = tasks.effect.delay_on_commit("a")
    theirs = Task.objects.get()
    theirs.task_id, theirs.headers = "theirs", theirs.headers.replace(own.id, "theirs")
    theirs.body = theirs.body.replace('"a"', '"theirs"')
    assert deliver(theirs).info.state == states.IGNORED
    theirs.task = tasks.never_begins.name
    deliver(theirs)
    assert tasks.effects() == {}
    assert Task.objects.get().attempt == 0


def test_an_overtaken_attempt_loses_its_effects_and_its_result() -> None:
    """The fence: even if somebody else was let in too early, only one of them counts."""
    result = tasks.interrupted.delay_on_commit("a")
    outcome = deliver()
    assert outcome.info.state == states.IGNORED
    assert tasks.effects() == {}
    assert Task.objects.get().attempt == 2
    assert result.state == states.STARTED


def test_a_message_of_an_earlier_attempt_does_not_run_a_retry_before_its_time() -> None:
    tasks.retries.delay_on_commit("a", 1, 3600)
    row = Task.objects.get()
    assert deliver(row).info.state == states.RETRY
    assert deliver(row).info.state == states.IGNORED
    assert Task.objects.get().attempt == 1


def test_finishing_is_a_set_operation() -> None:
    with transaction.atomic():
        for number in range(5):
            tasks.effect.delay_on_commit(str(number))
    ids = list(Task.objects.order_by("id").values_list("id", flat=True))
    tokens = [begin(row) for row in Task.objects.order_by("id")]
    tokens[2] += 1  # somebody else's
    assert store.finish(zip(ids, tokens, strict=True)) == {*ids} - {ids[2]}
    assert Task.objects.get().id == ids[2]


def test_a_failure_rolls_back_stores_its_result_and_is_done() -> None:
    result = tasks.fails.delay_on_commit("a")
    deliver()
    assert tasks.effects() == {}
    assert result.state == states.FAILURE
    assert repr(result.result) == "ValueError('a')"
    assert not Task.objects.exists()


def test_a_result_that_cannot_be_stored_is_a_failure_without_effects() -> None:
    result = tasks.unserializable.delay_on_commit()
    deliver()
    assert tasks.effects() == {}
    assert result.state == states.FAILURE


def test_ignore_keeps_the_effects_and_stores_no_result() -> None:
    result = tasks.ignores.delay_on_commit("a")
    deliver()
    assert tasks.effects() == {"a": 1}
    assert not Task.objects.exists()
    assert result.state == states.STARTED


@pytest.mark.parametrize("task", [tasks.rejects, tasks.ends_before], ids=lambda t: t.__name__)
def test_reject_without_requeue_is_a_failure_that_stands_before_the_row_is_gone(
    settings: Settings, task: Any
) -> None:
    settings.DURABLE_DELAY = True
    result = task.apply_async_on_commit(["reject"], link_error=tasks.effect.si("told"))
    deliver()
    assert repr(result.result) == "reject requeue=False: no"
    assert [row.task for row in Task.objects.all()] == [tasks.effect.name]


def test_a_task_that_calls_another_does_so_with_its_own_transaction() -> None:
    tasks.calls_another.delay_on_commit("a", fail=True)
    deliver()
    assert not Task.objects.exists()
    tasks.calls_another.delay_on_commit("b", fail=False)
    deliver()
    deliver()
    assert tasks.effects() == {"b": 1, "b-child": 1}


def test_link_and_chain_are_rows_of_the_transaction_that_ends_the_task() -> None:
    with transaction.atomic(), durable():
        result = chain(tasks.add.s(1, 1), tasks.add.s(2), tasks.add.s(3)).delay()
    tasks.add.apply_async_on_commit([10], link=tasks.add.s(5))
    for _ in range(5):
        deliver(Task.objects.order_by("id").first())
    assert not Task.objects.exists()
    assert result.get() == 7
    assert tasks.effects() == {"add-2": 1, "add-4": 1, "add-7": 1, "add-10": 1, "add-15": 1}


def test_a_chain_goes_no_further_than_a_failure() -> None:
    with durable():
        result = chain(tasks.fails.s("a"), tasks.effect.si("b")).delay()
    deliver()
    assert not Task.objects.exists()
    assert result.state == states.FAILURE


def test_a_chord_runs_its_body_once_from_the_transaction_of_its_last_part() -> None:
    with transaction.atomic(), durable():
        result = chord([tasks.add.s(1), tasks.add.s(2), tasks.add.s(3)])(tasks.add.s())
    rows = list(Task.objects.order_by("id"))
    assert len(rows) == 3
    for row in rows:
        deliver(row)
        deliver(row)  # each part comes twice
    deliver()
    assert result.get() == 6
    assert tasks.effects() == {"add-1": 1, "add-2": 1, "add-3": 1, "add-6": 1}


def test_replace_takes_the_place_in_the_same_transaction() -> None:
    result = tasks.replaces.delay_on_commit("a")
    deliver()
    row = Task.objects.get()
    assert row.task_id == result.id
    deliver()
    assert result.get() == "a"
    assert tasks.effects() == {"a": 1, "a-first": 1}


def test_a_task_may_call_itself_as_a_function() -> None:
    result = tasks.fibonacci.delay_on_commit(7)
    deliver()
    assert result.get() == 13


def test_a_long_task_holds_no_transaction_until_it_finishes(tmp_path: Any) -> None:
    (tmp_path / "go").touch()
    result = tasks.long_gate.delay_on_commit("a", str(tmp_path))
    deliver()
    assert result.get() == "A"
    assert tasks.effects() == {"a": 1}
    assert not Task.objects.exists()


def test_finishing_for_a_second_time_is_an_error_that_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first time has ended the row, with its result: nothing can be added to that."""
    tasks.finishes_in_a_loop.delay_on_commit(["a", "b"])
    deliver()
    assert "finishing() can be entered once" in caplog.text
    assert tasks.effects() == {"a": 1}
    assert not Task.objects.exists()


def test_it_is_an_error_also_where_a_test_would_call_the_task_without_a_row() -> None:
    with pytest.raises(RuntimeError, match="finishing\\(\\) can be entered once"):
        tasks.finishes_in_a_loop(["a", "b"])
    outcome = tasks.finishes_in_a_loop.apply([["c", "d"]])
    assert isinstance(outcome.result, RuntimeError)
    assert tasks.effects() == {"a": 1, "c": 1}


def test_finishing_can_be_tried_again_after_it_was_rolled_back() -> None:
    tasks.finishes_in_a_loop.delay_on_commit(["a"], first_fails=True)
    deliver()
    tasks.finishes_in_a_loop(["b"], first_fails=True)
    assert tasks.effects() == {"a": 1, "b": 1}
    assert not Task.objects.exists()


def test_an_ignored_result_is_not_stored() -> None:
    from django_celery_results.models import TaskResult

    tasks.effect.apply_async_on_commit(["a"], ignore_result=True)
    deliver()
    assert not TaskResult.objects.exists()


def test_a_plain_call_is_celerys_own() -> None:
    result = tasks.effect.apply(["a"])
    assert result.get() == "a"
    assert tasks.effect("b") == "b"
    assert tasks.effects() == {"a": 1, "b": 1}
