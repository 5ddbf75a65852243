"""A task of Django's API is a row of the queue, and what Django says of results holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from celery import current_app
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.db import transaction
from django.utils import timezone

from durable.journal.models import Entry
from durable.queue.models import Task as Row
from durable.testing.tasks import Tasks

from . import tasks as own
from .api import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    TaskResultStatus,
    default_task_backend,
    task,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)


@pytest.fixture
def signaled() -> Iterator[list[Any]]:
    """Give the signals of the test, each with the status of its result."""
    found: list[Any] = []

    def receiver(signal: Any, task_result: Any, **kwargs: Any) -> None:
        found.append((names[id(signal)], str(task_result.status)))

    signals = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}
    names = {id(signal): name for name, signal in signals.items()}
    for signal in signals.values():
        signal.connect(receiver)
    yield found
    for signal in signals.values():
        signal.disconnect(receiver)


def test_a_call_is_a_row_of_the_callers_transaction(tasks: Tasks) -> None:
    with transaction.atomic():
        gone = own.add.enqueue(1)
        transaction.set_rollback(True)
    assert not Row.objects.exists()
    with pytest.raises(TaskResultDoesNotExist):
        own.add.get_result(gone.id)
    kept = own.add.enqueue(1, two=2)
    row = Row.objects.get()
    assert (row.task_id, row.task) == (kept.id, own.add.module_path)
    tasks.assert_called(own.add, 1, 2)


def test_its_result_follows_it(tasks: Tasks, signaled: list[Any]) -> None:
    result = own.add.enqueue(1, 2)
    assert (result.status, result.attempts) == (TaskResultStatus.READY, 0)
    found = own.add.get_result(result.id)
    assert (found.status, found.args, found.kwargs) == (TaskResultStatus.READY, [1, 2], {})
    with pytest.raises(ValueError, match="not finished"):
        _ = found.return_value
    tasks.run()
    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 3)
    assert result.attempts == len(result.worker_ids) == 1
    times: list[Any] = [result.enqueued_at, result.started_at, result.finished_at]
    assert times == sorted(times)
    assert result.last_attempted_at == result.started_at
    assert result.errors == []
    assert signaled == [("enqueued", "READY"), ("started", "RUNNING"), ("finished", "SUCCESSFUL")]


def test_a_failure_names_its_error_and_leaves_no_effect(tasks: Tasks, signaled: list[Any]) -> None:
    result = own.fails.enqueue("a")
    tasks.run(raising=False)
    result.refresh()
    [error] = result.errors
    assert (result.status, error.exception_class) == (TaskResultStatus.FAILED, ValueError)
    assert "ValueError: a" in error.traceback
    assert signaled[-1] == ("finished", "FAILED")
    assert not Group.objects.exists()
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_a_time_a_queue_and_a_priority_are_those_of_the_row(tasks: Tasks) -> None:
    later = timezone.now() + timedelta(hours=1)
    result = own.first.using(run_after=later).enqueue()
    row = Row.objects.get()
    assert (row.queue, row.priority, row.due_at) == ("mail", -10, later)
    found = own.first.get_result(result.id).task
    assert (found.queue_name, found.priority, found.run_after) == ("mail", 10, later)
    assert tasks.run() == []
    assert len(tasks.run(until=later)) == 1


def test_a_higher_priority_comes_first(tasks: Tasks) -> None:
    own.add.using(priority=-5).enqueue(1)
    own.add.enqueue(2)
    own.add.using(priority=100).enqueue(3)
    assert [ran.result for ran in tasks.run()] == [3, 2, 1]


def test_a_context_tells_of_the_attempt(tasks: Tasks) -> None:
    result = own.context.enqueue(context_of="a")
    tasks.run()
    result.refresh()
    assert result.return_value == [1, result.id, "RUNNING", {"context_of": "a"}, 1]


def test_what_a_coroutine_writes_is_in_the_tasks_transaction(tasks: Tasks) -> None:
    result: Any = async_to_sync(own.asynchronous.aenqueue)("a")
    own.asynchronous.enqueue("b", fails=True)
    tasks.run(raising=False)
    async_to_sync(result.arefresh)()
    assert result.return_value == "a"
    assert [group.name for group in Group.objects.all()] == ["a"]
    again: Any = async_to_sync(own.asynchronous.aget_result)(result.id)
    assert again.return_value == "a"


def test_a_result_that_json_cannot_hold_is_a_failure(tasks: Tasks) -> None:
    result = own.returns_an_object.enqueue()
    tasks.run(raising=False)
    result.refresh()
    assert result.errors[0].exception_class is TypeError


@pytest.mark.django_db
def test_arguments_that_do_not_fit_are_refused_where_the_call_is_made() -> None:
    with pytest.raises(TypeError, match=r"Unsupported type"):
        own.add.enqueue(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"add\(\)"):
        own.add.enqueue(1, three=3)  # type: ignore[call-arg]
    assert not Row.objects.exists()


def test_a_result_is_of_its_own_task_alone(tasks: Tasks) -> None:
    result = own.add.enqueue(1)
    with pytest.raises(TaskResultMismatch):
        own.first.get_result(result.id)
    assert default_task_backend.get_result(result.id).task.func is own.add.func
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result("none")


def test_a_result_is_known_as_long_as_the_journal_has_it(tasks: Tasks) -> None:
    result = own.add.enqueue(1)
    tasks.run()
    Entry.objects.all().delete()
    with pytest.raises(TaskResultDoesNotExist):
        result.refresh()


def test_one_in_quarantine_has_failed_until_a_person_decides(tasks: Tasks) -> None:
    result = own.add.enqueue(1)
    Row.objects.update(quarantined_at=timezone.now(), error="killed its process")
    result.refresh()
    assert (result.status, result.errors[0].traceback) == ("FAILED", "killed its process")
    assert result.errors[0].exception_class.__name__ == "Quarantined"


def test_a_task_inside_of_a_function_is_refused() -> None:
    with pytest.raises(InvalidTask, match="module level"):

        @task()
        def local() -> None: ...


def test_options_are_those_of_celerys_tasks(settings: Any) -> None:
    backend = "durable.django_tasks.Backend"
    settings.TASKS = {
        "default": {"BACKEND": backend},
        "long": {"BACKEND": backend, "OPTIONS": {"atomic": False, "max_retries": 7}},
    }

    def function() -> None: ...

    function.__qualname__ = "function"
    made = task(backend="long")(function)
    celerys = current_app.tasks[made.module_path]
    assert (celerys.atomic, celerys.max_retries) == (False, 7)
    with pytest.raises(InvalidTask, match="Queue 'mail'"):
        made.using(queue_name="mail", backend="default")


def test_the_checks_say_what_is_missing(settings: Any) -> None:
    assert "durable.W020" not in {message.id for message in run_checks()}
    settings.HISTORY_DAYS = 0
    [message] = [one for one in run_checks() if one.id == "durable.W020"]
    assert "HISTORY_DAYS" in str(message.hint)
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "durable.queue"]
    backend = task_backends["default"]
    assert [one.id for one in backend.check()] == ["durable.E020"]
