"""A worker takes the first rows in line in hand, as many as it can run, and lets go of others."""

# ruff: noqa: S608 - the parts of a statement are constants here

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import states
from celery.worker import state
from django.db.models import F
from django.db.models.functions import Now

from durable.queue import store
from durable.queue.caller import notify
from durable.queue.models import Task, Worker
from durable.queue.worker import rows as rows_module
from durable.queue.worker.request import RowMessage
from durable.queue.worker.rows import Rows
from proj.celery import app
from tests import durable_tasks as tasks
from tests.fixtures_worker import wait_for

from .delivery import begin, make_due

pytestmark = pytest.mark.usefixtures("effect_table")

SECOND = timedelta(seconds=1)


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
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The rows of a worker with two slots; its thread is the test."""
    monkeypatch.setattr(state, "reserved_requests", set())
    monkeypatch.setattr(app.amqp, "queues", app.amqp.Queues({"default": {}, "mail": {}}))
    worker = SimpleNamespace(
        app=app, consumer=Consumer(), pool=SimpleNamespace(num_processes=2),
        consumer_cls="celery.worker.consumer:Consumer",
    )  # fmt: skip
    rows = Rows(worker)
    rows._awake = True  # no thread is to be woken
    return rows


def call(*labels: str, **options: Any) -> None:
    for label in labels:
        tasks.effect.apply_async_on_commit([label], **options)


def hold(rows: Rows, wants: int = 10) -> list[str]:
    """Look once for rows; return the labels of those that are in hand now."""
    before = len(rows._ahead)
    rows._hold(wants)
    return [json.loads(row.body)[0][0] for _, row in list(rows._ahead)[before:]]


class TestALook:
    def test_finds_rows_by_priority_and_age_in_all_lanes(self, rows: Rows) -> None:
        call("c", "d", priority=5)
        call("b", queue="mail")
        call("a")
        call("elsewhere", queue="reports")
        call("later", countdown=600)
        Task.objects.filter(body__contains='"a"').update(due_at=Now() - 60 * SECOND)
        rows._rescan()
        assert hold(rows, 3) == ["a", "b", "c"]
        assert hold(rows) == ["d"]

    def test_leaves_what_another_worker_has_in_hand(self, rows: Rows) -> None:
        call("a", "b")
        store.hold_one(Task.objects.get(body__contains='"a"').pk, "another")
        rows._rescan()
        assert hold(rows) == ["b"]

    def test_finds_what_is_committed_late_and_has_an_older_place(self, rows: Rows) -> None:
        call("first")
        rows._rescan()
        assert hold(rows) == ["first"]
        call("of a long transaction", "put in earlier still")
        Task.objects.filter(body__contains="long").update(due_at=Now() - 5 * SECOND)
        Task.objects.filter(body__contains="still").update(due_at=Now() - 3600 * SECOND)
        assert hold(rows) == ["of a long transaction"]
        rows._rescan()  # which it does every few seconds, from the very beginning
        assert hold(rows) == ["put in earlier still"]

    def test_does_not_walk_over_what_others_have_done(self, rows: Rows) -> None:
        call("first")
        rows._rescan()
        [before] = rows._lanes.values()
        call("newer")
        Task.objects.update(due_at=F("due_at") + 100 * SECOND)
        make_due()
        assert len(hold(rows)) == 2
        [after] = rows._lanes.values()
        newest = max(row.due_at for _, row in rows._ahead)
        assert before.since < after.since == newest - rows_module.SLACK

    def test_finds_nothing_in_a_lane_that_it_does_not_know_until_it_is_called(
        self, rows: Rows
    ) -> None:
        rows._rescan()
        call("a", priority=7)
        assert hold(rows) == []
        rows._called(SimpleNamespace(payload="7 a queue of others"))
        assert hold(rows) == []
        rows._called(SimpleNamespace(payload=notify.lane("default", 7)))
        assert hold(rows) == ["a"]

    def test_keeps_a_lane_that_was_called_for_while_it_looked_over_all(
        self, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = store.lanes

        def lanes(queues: Any) -> Any:
            before = found(queues)
            call("a")
            rows._called(SimpleNamespace(payload="0 default"))
            return before

        monkeypatch.setattr(store, "lanes", lanes)
        rows._rescan()
        assert hold(rows) == ["a"]


class TestAWorker:
    @pytest.fixture
    def idle(self, rows: Rows, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Rows]:
        """A worker that looks by itself once an hour only, in a thread of its own."""
        settings.DURABLE_POLL = settings.DURABLE_HEARTBEAT = 3600
        monkeypatch.setattr(rows_module, "RESCAN", 3600)
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
        rows._rescan()
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
        rows._rescan()
        rows._hold(1)
        rows._beat()
        assert Task.objects.get().worker == rows.worker_id
        monkeypatch.setattr(rows_module, "STALE", -1.0)
        rows._beat()
        assert (Task.objects.get().worker, list(rows._ahead)) == (None, [])


class TestARowInHand:
    @pytest.fixture(autouse=True)
    def row(self, rows: Rows, effect_table: None) -> Task:
        call("a")
        rows._rescan()
        return Task.objects.get()

    def do_jobs(self, rows: Rows) -> Task:
        while rows._jobs:
            rows._jobs.popleft()()
        return Task.objects.get()

    def give(self, rows: Rows) -> RowMessage:
        rows._hold(1)
        rows.give()
        return rows.worker.consumer.given[-1]

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

    @pytest.mark.parametrize(
        ("spoilt", "why"),
        [
            ({"task": "of.another.version"}, "of.another.version is unknown to it"),
            ({"headers": "not JSON"}, "its headers can't be read: "),
            ({"body": "not JSON"}, "its message can't be read: "),
        ],
    )
    def test_that_it_cannot_run_is_postponed(
        self, rows: Rows, row: Task, spoilt: dict[str, str], why: str
    ) -> None:
        Task.objects.update(**spoilt)
        rows._hold(1)
        rows.give()
        found = self.do_jobs(rows)
        assert (found.worker, found.attempt, rows.in_hand) == (None, 0, {})
        assert found.error.startswith(f"not accepted by a worker: {why}")
        assert found.due_at > found.created_at
        assert tasks.effect.AsyncResult(row.task_id).state == states.PENDING

    def test_is_known_by_its_tasks_id(self, rows: Rows, row: Task) -> None:
        assert rows_module.ticket_of_running(row.task_id) is None
        self.give(rows)
        assert rows_module.ticket_of_running(row.task_id) == (row.pk, 0, rows.worker_id)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def test_no_look_reads_what_waits_for_its_time_or_is_in_other_hands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call("ready", expires=3600)
    for column, value in (("due_at", "now() + interval '1 h'"), ("worker", "'another'")):
        store.run(
            f"""INSERT INTO durable_task (task_id, task, queue, priority, headers, body, expires,
                    attempt, clean_attempt, error, history, {column})
                SELECT n::text, 'x', 'default', 0, '{{}}', '', now() + interval '1 h', 0, 0, '',
                    '[]', {value} FROM generate_series(1, 2000) AS n"""
        )
    store.run("ANALYZE durable_task")
    lanes, run, plans = store.lanes(["default"]), store.run, []

    def explain(sql: str, params: Any = ()) -> list[Any]:
        [[plan]] = run(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
        plans.append(plan if isinstance(plan, list) else json.loads(plan))
        return []

    monkeypatch.setattr(store, "run", explain)
    monkeypatch.setattr(store, "run_prepared", explain)
    store.hold("me", lanes, 10)
    store.lanes(["default"])
    store.lock_expired(10)
    for plan in plans:
        read = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name")]
        removed = sum(node.get("Rows Removed by Filter", 0) for node in read)
        assert removed == 0, plan
    assert len(plans) == 3
