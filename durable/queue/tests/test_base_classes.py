"""What a project's own base class overrides doesn't come between a task and its row."""

from __future__ import annotations

from typing import Any

import pytest
from celery import states
from celery.worker.request import Request as CelerysRequest

from durable.queue import store
from durable.queue.models import Task
from durable.queue.request import Request
from proj.celery import app
from proj.task import Task
from tests import durable_tasks as tasks
from tests.fixtures_durable import client
from tests.fixtures_worker import purge_queues

from .delivery import deliver

pytestmark = pytest.mark.usefixtures("effect_table")


@pytest.fixture(autouse=True)
def empty_broker() -> None:
    purge_queues()


@pytest.mark.parametrize("task", [tasks.called_by_run, tasks.called_by_super])
class TestACallOfItsOwn:
    def test_ends_the_row_with_the_task_and_runs_it_once(self, task: Any) -> None:
        result = task.delay_on_commit(0)
        row = Task.objects.get()
        deliver(row)
        assert not Task.objects.exists()
        assert (result.state, result.get()) == (states.SUCCESS, result.id)
        deliver(row)
        assert tasks.effects() == {"before": 1, f"0 of {result.id}": 1, "after": 1}

    def test_is_in_the_tasks_transaction(self, task: Any) -> None:
        result = task.delay_on_commit(0, fail=True)
        deliver()
        assert result.state == states.FAILURE
        assert tasks.effects() == {}

    def test_goes_around_the_calls_as_a_function_as_well(self, task: Any) -> None:
        result = task.delay_on_commit(2)
        deliver()
        assert result.get() == result.id
        assert tasks.effects()["before"] == tasks.effects()["after"] == 3
        assert tasks.effects()[f"2 of {result.id}"] == 1

    def test_works_without_the_outbox(self, task: Any) -> None:
        task.apply([0])
        task(0)
        assert tasks.effects()["before"] == tasks.effects()["after"] == 2


class TestARequestOfItsOwn:
    @pytest.mark.parametrize("request_class", [CelerysRequest, "celery.worker.request:Request"])
    def test_is_refused_if_it_knows_nothing_of_the_ledger(self, request_class: Any) -> None:
        class Refused(Task):
            name = "refused"
            Request = request_class

        with pytest.raises(TypeError, match=r"refused: .* must derive from apps\.outbox\.request"):
            Refused.bind(app)

    @pytest.mark.parametrize("as_text", [False, True])
    def test_is_taken_if_it_derives_from_the_ledgers(self, as_text: bool) -> None:
        class Taken(Task):
            name = "taken"
            Request = f"{__name__}:Derived" if as_text else Derived

        Taken.bind(app)


class Derived(Request):
    """What Celery's documentation has of such a class."""


class TestABeforeStart:
    @pytest.mark.parametrize("how", ["ignore", "reject"])
    def test_that_ends_the_task_ends_its_row(self, how: str) -> None:
        tasks.ends_before.delay_on_commit(how)
        deliver()
        assert not Task.objects.exists()
        assert tasks.effects() == {f"before {how}": 1}

    def test_that_puts_the_message_back_leaves_its_row_to_it(self) -> None:
        tasks.ends_before.delay_on_commit("requeue")
        deliver()
        row = Task.objects.get()
        assert (row.starts, row.worker, row.quarantined_at) == (0, None, None)

    def test_that_retries_keeps_the_row_with_the_new_time_and_counts_it(self) -> None:
        result = tasks.ends_before.delay_on_commit("retry")
        purged()
        deliver()
        row = Task.objects.get()
        assert row.due_at is not None
        assert row.worker is None
        assert result.state == states.RETRY
        assert purged() == 0, "the relay sends it"
        deliver(row)
        assert not Task.objects.exists()
        assert result.state == states.SUCCESS
        assert tasks.effects() == {"before retry": 2, "ran after retry": 1}

    def test_that_retries_and_goes_on_has_the_task_run_twice_as_in_celery(self) -> None:
        tasks.ends_before.delay_on_commit("retry and go on")
        deliver()
        row = Task.objects.get()
        assert row.due_at is not None
        assert row.worker is None
        deliver(row)
        assert not Task.objects.exists()
        assert tasks.effects()["ran after retry and go on"] == 2

    def test_that_has_no_retry_left_has_failed(self) -> None:
        result = tasks.ends_before.delay_on_commit("retry in vain")
        deliver()
        assert not Task.objects.exists()
        assert repr(result.result) == "LookupError('in vain')"

    @pytest.mark.parametrize("how", ["ignore", "reject", "retry"])
    def test_of_a_late_copy_does_not_end_the_start_that_runs(self, how: str) -> None:
        tasks.ends_before.delay_on_commit(how)
        row = Task.objects.get()
        assert store.claim(row.id, 0, "elsewhere") == 1
        deliver(row)
        found = Task.objects.get()
        assert (found.worker, found.starts, found.history) == ("elsewhere", 1, [])


def purged() -> int:
    """Empty the broker; return how many messages were in it."""
    count = int(client().llen("default"))
    purge_queues()
    return count
