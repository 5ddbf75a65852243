"""A worker takes the first rows in line in hand, as many as it can run, and lets go of others."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import shared_task, states
from celery.worker import state
from celery.worker import strategy as celerys
from django.db import OperationalError
from kombu.message import Message

from durable.queue import conf, store
from durable.queue.models import Task, Worker
from durable.queue.worker import lanes
from durable.queue.worker import rows as rows_module
from durable.queue.worker.request import Request, RowMessage, strategy
from durable.queue.worker.rows import Rows
from durable.queue.worker.ticket import Ticket
from proj.celery import app
from proj.task import Task as ProjectTask
from tests import durable_tasks as tasks
from tests.fixtures_worker import PATIENCE, wait_for

from .delivery import begin, hold, message

pytestmark = pytest.mark.usefixtures("effect_table")


class Returns(ProjectTask):
    """Raises after its end."""

    abstract = True

    def after_return(self, *args: Any) -> None:
        """Raise."""
        raise LookupError("after_return")


@shared_task(base=Returns)
def returns() -> None: ...


class Consumer:
    """Celery's, as far as rows are given to it: each task's strategy keeps the message."""

    def __init__(self) -> None:
        self.given: list[RowMessage] = []
        self.called = threading.Event()
        self.strategies = dict.fromkeys((tasks.effect.name, tasks.fails.name), self.take)

    def take(self, message: RowMessage, *args: Any) -> None:
        message.payload  # noqa: B018 - as Celery's does, which reads it
        self.given.append(message)

    def call_soon(self, call: Any) -> None:
        self.called.set()


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Rows:
    """The rows of a worker with two slots; its thread is the test."""
    settings.DURABLE_DEAD_AFTER = 3600  # a test that stands still is no outage of the database
    monkeypatch.setattr(state, "reserved_requests", set())
    queues = SimpleNamespace(consume_from={"default": None})
    worker = SimpleNamespace(
        app=SimpleNamespace(
            amqp=SimpleNamespace(queues=queues), events=SimpleNamespace(), tasks=app.tasks
        ),
        consumer=Consumer(), hub=None,
        pool=SimpleNamespace(num_processes=2), consumer_cls="celery.worker.consumer:Consumer",
    )  # fmt: skip
    rows = Rows(worker)
    rows._awake = True  # no thread is to be woken
    return rows


def call(*labels: str, **options: Any) -> None:
    for label in labels:
        tasks.effect.apply_async_on_commit([label], **options)


class TestAWorker:
    @pytest.fixture
    def idle(self, rows: Rows, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Rows]:
        """A worker that looks by itself once an hour only, in a thread of its own."""
        settings.DURABLE_POLL = settings.DURABLE_HEARTBEAT = 3600
        monkeypatch.setattr(lanes, "RESCAN", 3600)
        monkeypatch.setattr(rows_module, "SIGN_OFF", PATIENCE)
        rows._awake = False
        rows.start(rows.worker)
        wait_for(lambda: Worker.objects.exists() and rows.seen_at, "it has looked")
        yield rows
        rows.sign_off()

    def test_is_woken_by_a_call_and_signs_off_with_what_it_holds(self, idle: Rows) -> None:
        call("a")
        assert idle.worker.consumer.called.wait(180)
        assert Task.objects.get().worker == idle.worker_id
        idle.sign_off()
        row = Task.objects.get()
        assert (row.worker, row.attempt, row.history) == (None, 0, [])
        assert not Worker.objects.exists()

    def test_that_is_woken_while_it_wakes_is_woken_again(
        self, idle: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = os.read

        def reads(descriptor: int, size: int) -> bytes:
            if descriptor == idle._reader:
                idle._wake()  # another thread does, at this moment
            return read(descriptor, size)

        monkeypatch.setattr(os, "read", reads)
        idle._wake()
        wait_for(lambda: not idle._awake, "the next one writes")

    def test_that_stops_lets_go_of_what_it_has_not_begun(self, idle: Rows) -> None:
        call("a", "b")
        wait_for(lambda: len(idle._ahead) == 2, "both are held")
        begin(Task.objects.order_by("id")[0], idle.worker_id)
        idle.stop_holding()
        wait_for(lambda: Task.objects.filter(worker=None).exists(), "one is ready again")
        runs, held = Task.objects.order_by("id")
        assert (runs.worker, held.worker) == (idle.worker_id, None)

    def test_wants_as_many_rows_as_it_has_free_slots(self, rows: Rows) -> None:
        assert rows._wants() == 2
        call("a", "b", "c")
        rows._lanes.rescan()
        rows._hold(rows._wants())
        assert (len(rows._ahead), rows._wants()) == (2, 0)
        rows.give()
        assert (len(rows._ahead), len(rows.in_hand), rows._wants()) == (0, 2, 0)
        rows.left(rows.worker.consumer.given[0])
        assert rows._wants() == 1
        rows.stopping = True
        assert rows._wants() == 0

    def test_gives_back_what_it_held_ahead_in_vain(
        self, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call("a")
        rows._lanes.rescan()
        rows._hold(1)
        monkeypatch.setattr(rows_module, "STALE", 3600.0)
        rows._beat()
        assert Task.objects.get().worker == rows.worker_id
        monkeypatch.setattr(rows_module, "STALE", -1.0)
        rows._beat()
        assert (Task.objects.get().worker, list(rows._ahead)) == (None, [])

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (OperationalError("gone"), "wait for the database: gone"),
            (AttributeError("gone"), "Traceback"),
        ],
    )
    def test_says_why_its_thread_begins_anew(
        self, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
        error: Exception, says: str,
    ) -> None:  # fmt: skip
        def session() -> None:
            rows._stop.set()
            raise error

        monkeypatch.setattr(rows, "_session", session)
        rows._run()
        assert says in caplog.text
        assert ("wait for the database" in caplog.text) is isinstance(error, OperationalError)


class TestARowInHand:
    @pytest.fixture(autouse=True)
    def row(self, rows: Rows, effect_table: None) -> Task:
        call("a")
        rows._lanes.rescan()
        return Task.objects.get()

    def do_jobs(self, rows: Rows) -> Task:
        while rows._jobs:
            rows._jobs.popleft()()
        return Task.objects.get()

    def give(self, rows: Rows) -> RowMessage:
        rows._hold(1)
        rows.give()
        given: list[RowMessage] = rows.worker.consumer.given
        return given[-1]

    def test_whose_process_died_counts_towards_the_quarantine(self, rows: Rows, row: Task) -> None:
        for number in (1, 2, 3, 4, 5):
            message = self.give(rows)
            assert store.begin(row.pk, number - 1, rows.worker_id) == number
            message.died = True
            message.requeue()
            found = self.do_jobs(rows)
            assert (found.worker, found.attempt, found.clean_attempt) == (None, number, 0)
            assert rows.in_hand == {}
        assert {line["what"] for line in found.history} == {"the process that ran it died"}
        assert found.quarantined_at is not None

    def test_that_the_stop_has_withdrawn_does_not_count(self, rows: Rows, row: Task) -> None:
        message = self.give(rows)
        store.begin(row.pk, 0, rows.worker_id)
        rows.stopping = True
        message.requeue()
        found = self.do_jobs(rows)
        assert (found.worker, found.attempt, found.clean_attempt) == (None, 1, 1)

    def test_that_its_process_could_not_end_is_let_go_at_the_second_beat(
        self, rows: Rows, row: Task
    ) -> None:
        """In between, the process may just be recording how the attempt has ended."""
        message = self.give(rows)
        store.begin(row.pk, 0, rows.worker_id)
        rows._beat()
        rows._beat()
        assert Task.objects.get().worker == rows.worker_id, "it runs"
        rows.left(message)
        rows._beat()
        assert Task.objects.get().worker == rows.worker_id
        rows._beat()
        found = Task.objects.get()
        assert (found.worker, found.attempt, found.clean_attempt) == (None, 1, 0)
        assert [line["what"] for line in found.history] == ["its end could not be recorded"]

    def test_that_an_outage_kept_from_being_ended_is_no_crash(self, rows: Rows, row: Task) -> None:
        """Its process has waited for the database, and then given up."""
        message = self.give(rows)
        store.begin(row.pk, 0, rows.worker_id)
        rows._beat()
        rows.left(message)
        rows.seen_at -= 2 * 3600
        rows._beat()
        rows._beat()
        found = Task.objects.get()
        assert (found.worker, found.attempt, found.clean_attempt) == (None, 1, 1)
        [line] = found.history
        assert line["what"] == "the database went away: its end could not be recorded"

    @pytest.mark.parametrize("column", ["headers", "body"])
    def test_that_it_cannot_read_is_postponed(self, rows: Rows, row: Task, column: str) -> None:
        Task.objects.update(**{column: "not JSON"})
        rows._hold(1)
        rows.give()
        found = self.do_jobs(rows)
        assert (found.worker, found.attempt, rows.in_hand) == (None, 0, {})
        assert found.error.startswith("can't be read by a worker: ")
        assert found.due_at > found.created_at
        assert tasks.effect.AsyncResult(row.task_id).state == states.PENDING

    def test_that_celery_has_since_before_it_was_taken_for_dead_is_not_given_twice(
        self, rows: Rows, row: Task
    ) -> None:
        """Else the second message, which can't begin it, would take the first out of its hand."""
        first = self.give(rows)
        store.release("worker = %(me)s", {"me": rows.worker_id}, "it died")
        second = self.give(rows)
        assert store.begin(row.pk, 0, rows.worker_id) == 1
        if second is not first:
            rows.left(second)
        for _ in range(2):
            rows._beat()
        assert Task.objects.get().worker == rows.worker_id, "it runs"
        rows.left(first)
        assert rows.in_hand == {}

    def test_whose_id_another_has_too_is_the_one_that_is_ended(
        self, rows: Rows, row: Task, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rows_module, "_rows", rows)
        call("b", task_id=row.task_id)
        for _ in range(2):
            held = self.give(rows)
            assert store.begin(held.row.id, 0, rows.worker_id) == 1
        first, second = rows.worker.consumer.given
        Request(second, app=app, task=tasks.effect, eventer=None).on_timeout(False, 3)
        assert Task.objects.get().pk == first.row.id

    @pytest.mark.parametrize(("by", "ends"), [("after_return", True), ("errback", False)])
    def test_that_exceeds_its_time_has_its_process_ended_whatever_raises(
        self, rows: Rows, by: str, ends: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pool calls this first, and would leave the process alone by an exception."""
        Task.objects.all().delete()
        monkeypatch.setattr(rows_module, "_rows", rows)
        rows.worker.consumer.strategies[returns.name] = rows.worker.consumer.take
        errback = tasks.effect.si("told").set(serializer="of another planet")
        call = returns.apply_async_on_commit(link_error=errback if by == "errback" else None)
        message = self.give(rows)
        store.begin(message.row.id, 0, rows.worker_id)
        Request(message, app=app, task=returns, eventer=None).on_timeout(False, 3)
        assert Task.objects.exists() is not ends, "it is let go by the signs of life"
        assert call.state == states.FAILURE

    def test_whose_process_waits_to_begin_has_no_time_that_is_over(
        self, rows: Rows, row: Task
    ) -> None:
        """The database was away, or a caller of a unique task has the row locked."""
        request = Request(self.give(rows), app=app, task=tasks.effect, eventer=None)
        request.on_timeout(False, 3)
        found = self.do_jobs(rows)
        assert (found.worker, found.attempt, found.history) == (None, 0, [])
        assert tasks.effect.AsyncResult(row.task_id).state == states.PENDING

    def test_is_known_by_its_tasks_id(self, rows: Rows, row: Task) -> None:
        assert rows_module.ticket_of_running(row.task_id) is None
        self.give(rows)
        assert rows_module.ticket_of_running(row.task_id) == (row.pk, 0, rows.worker_id)


@pytest.mark.parametrize("is_row", [False, True])
def test_a_message_of_the_broker_cannot_pass_for_a_row(
    is_row: bool, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("a")
    [held] = hold()
    message: Message = RowMessage(held, rows)
    if not is_row:
        message = Message(message.body, headers=message.headers)
    seen: list[Any] = []
    monkeypatch.setattr(celerys, "default", lambda *args, **kwargs: seen.append)
    strategy(tasks.effect, app, rows.worker.consumer)(message)
    assert (conf.HEADER in seen[0].headers) is is_row


def test_the_headers_of_a_tracer_hide_no_row_from_its_task() -> None:
    """Of ``{"headers": {…}}`` (celery#4875), the task sees only what is inside."""
    tasks.effect.apply_async_on_commit(["a"], headers={"headers": {"trace": "1"}})
    headers = message().headers
    assert headers["headers"]["trace"] == "1"
    assert Ticket.of(headers["headers"]) == Ticket.of(headers) is not None
