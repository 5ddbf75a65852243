"""What a project's own base class overrides doesn't come between a task and its row."""

from __future__ import annotations

from typing import Any

import pytest
from celery import states
from celery.worker.request import Request as CelerysRequest

from durable.queue.models import Task as Row
from durable.queue.worker.request import Request
from proj.celery import app
from proj.task import Task
from tests import durable_tasks as tasks

from .delivery import begin, deliver, hold, make_due

pytestmark = pytest.mark.usefixtures("effect_table")


@pytest.mark.parametrize("task", [tasks.called_by_run, tasks.called_by_super])
class TestACallOfItsOwn:
    def test_ends_the_row_with_the_task_and_runs_it_once(self, task: Any) -> None:
        result = task.delay_on_commit(0)
        row = Row.objects.get()
        deliver(row)
        assert not Row.objects.exists()
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

    def test_works_without_a_row(self, task: Any) -> None:
        task.apply([0])
        task(0)
        assert tasks.effects()["before"] == tasks.effects()["after"] == 2


class TestARequestOfItsOwn:
    @pytest.mark.parametrize("request_class", [CelerysRequest, "celery.worker.request:Request"])
    def test_is_refused_if_it_knows_nothing_of_rows(self, request_class: Any) -> None:
        class Refused(Task):
            name = "refused"
            Request = request_class

        with pytest.raises(
            TypeError, match=r"refused: .* must derive from durable\.queue\.worker\.request"
        ):
            Refused.bind(app)

    @pytest.mark.parametrize("as_text", [False, True])
    def test_is_taken_if_it_derives_from_the_queues(self, as_text: bool) -> None:
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
        assert not Row.objects.exists()
        assert tasks.effects() == {f"before {how}": 1}

    @pytest.mark.parametrize(
        ("how", "what"),
        [("requeue", "rejected: 'later'"), ("outage", "the database went away: gone")],
    )
    def test_that_can_not_go_on_now_postpones_the_row_as_the_tasks_own_code_does(
        self, how: str, what: str, long_pauses: None
    ) -> None:
        tasks.ends_before.delay_on_commit(how)
        deliver()
        row = Row.objects.get()
        assert (row.worker, row.attempt, row.clean_attempt) == (None, 1, 1)
        assert [line["what"] for line in row.history] == [what]
        assert hold() == [], "its time has not come"

    @pytest.mark.parametrize(
        ("how", "ran"), [("retry", 1), ("retry and go on", 2)]
    )  # going on, it runs twice as in Celery
    def test_that_retries_keeps_the_row_with_the_new_time_and_counts_it(
        self, how: str, ran: int
    ) -> None:
        result = tasks.ends_before.delay_on_commit(how)
        deliver()
        row = Row.objects.get()
        assert (row.worker, row.attempt, row.clean_attempt) == (None, 1, 1)
        assert hold() == [], "its time has not come"
        assert how != "retry" or result.state == states.RETRY
        make_due()
        deliver(row)
        assert not Row.objects.exists()
        assert result.state == states.SUCCESS
        assert tasks.effects() == {f"before {how}": 2, f"ran after {how}": ran}

    def test_that_has_no_retry_left_has_failed(self) -> None:
        result = tasks.ends_before.delay_on_commit("retry in vain")
        deliver()
        assert not Row.objects.exists()
        assert repr(result.result) == "LookupError('in vain')"

    @pytest.mark.parametrize("how", ["ignore", "reject", "requeue", "retry", "outage"])
    def test_of_a_late_copy_does_not_end_the_attempt_that_runs(self, how: str) -> None:
        tasks.ends_before.delay_on_commit(how)
        row = Row.objects.get()
        assert begin(row, "elsewhere") == 1
        deliver(row)
        found = Row.objects.get()
        assert (found.worker, found.attempt, found.history) == ("elsewhere", 1, [])
