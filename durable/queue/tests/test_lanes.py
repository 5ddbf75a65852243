"""A look for rows: the first in line, in all lanes, and no others are read for it."""

# ruff: noqa: S608 - the parts of a statement are constants here

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from kombu.utils.json import loads

from durable.queue import store
from durable.queue.models import Task
from durable.queue.store import claim, idle
from durable.queue.worker import lanes as module
from durable.queue.worker.lanes import SLACK, Lanes
from durable.queue.worker.rows import SESSION
from proj.celery import debug_task
from tests.durable_tasks import effect

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)


def call(*labels: str, **options: Any) -> None:
    for label in labels:
        effect.apply_async_on_commit([label], **options)


def move(label: str, seconds: int) -> None:
    """Let a row stand in line since so many seconds ago."""
    Task.objects.filter(body__contains=f'"{label}"').update(due_at=Now() - seconds * SECOND)


@pytest.fixture
def lanes() -> Lanes:
    return Lanes(lambda: {"default", "mail"})


def look(lanes: Lanes, limit: int = 10) -> list[str]:
    """Look once for rows; return the labels of those that are held by this."""
    rows = store.hold("me", lanes.now(), limit)
    lanes.found(rows, limit)
    return [loads(row.body)[0][0] for row in rows]


def test_a_look_finds_rows_by_priority_and_age_in_all_lanes(lanes: Lanes) -> None:
    call("c", "d", priority=5)
    call("b", queue="mail")
    call("a")
    move("a", 60)
    call("elsewhere", queue="reports")
    call("later", countdown=600)
    lanes.rescan()
    assert look(lanes, 3) == ["a", "b", "c"]
    assert look(lanes) == ["d"]


def test_what_another_worker_has_in_hand_is_left_to_it(lanes: Lanes) -> None:
    call("a", "b")
    store.hold_one(Task.objects.order_by("id")[0].pk, "another")
    lanes.rescan()
    assert look(lanes) == ["b"]


@pytest.mark.parametrize("batch", [False, True])
def test_a_task_that_the_worker_does_not_know_keeps_its_place(batch: bool) -> None:
    debug_task.apply_async_on_commit()
    call("a")
    first = Task.objects.get(task=debug_task.name)
    lanes = Lanes(lambda: {"default"}, [effect.name])
    lanes.rescan()
    [lane] = lanes.now()
    assert lane.since > first.due_at - SLACK, "it isn't walked over again"
    rows = (store.take if batch else store.hold)("me", lanes.now(), 10, lanes.known)
    assert [row.task for row in rows] == [effect.name]
    row = Task.objects.get(task=debug_task.name)
    assert (row.worker, row.due_at, row.history) == (None, first.due_at, [])


def test_what_is_committed_late_and_has_an_older_place_is_found(lanes: Lanes) -> None:
    call("first")
    lanes.rescan()
    assert look(lanes) == ["first"]
    call("of a long transaction", "of a longer one")
    move("of a long transaction", 5)
    move("of a longer one", 3600)
    assert look(lanes) == ["of a long transaction"]
    lanes.rescan()  # a worker does so every few seconds
    assert look(lanes) == ["of a longer one"]


def test_a_look_does_not_walk_over_what_was_done_before(lanes: Lanes) -> None:
    call("first")
    lanes.rescan()
    before = next(lane for lane in lanes.now() if lane.queue == "default")
    call("newer")
    assert look(lanes) == ["first", "newer"]
    after = next(lane for lane in lanes.now() if lane.queue == "default")
    newest = Task.objects.order_by("due_at")[1].due_at
    assert before.since < after.since == newest - SLACK


@pytest.fixture
def listening(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the lanes listen; a session hears its own calls too. Give how often they were to look."""
    connection.ensure_connection()
    woken: list[int] = []
    monkeypatch.setattr(lanes, "look", lambda: woken.append(1))
    lanes.begin(connection.connection)
    yield woken
    connection.close()


def test_a_lane_that_is_new_is_known_by_the_call(lanes: Lanes, listening: list[int]) -> None:
    lanes.rescan()
    call("of others", queue="reports")
    assert listening == []
    call("a", priority=7, queue="mail")
    assert listening == [1]
    assert look(lanes) == ["a"]


@pytest.mark.usefixtures("listening")
def test_a_lane_that_was_called_for_during_a_rescan_is_kept(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = store.lanes

    def find_and_be_late(*args: Any) -> Any:
        found = find(*args)
        call("a")
        return found

    monkeypatch.setattr(store, "lanes", find_and_be_late)
    lanes.rescan()
    assert look(lanes) == ["a"]


def test_a_call_is_looked_for_whose_row_a_look_could_not_see(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """However long the look took, and what comes of it."""
    clock = itertools.count()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    settings.DURABLE_POLL = 3600
    connection.ensure_connection()
    lanes.begin(connection.connection)
    for is_called in (False, True):
        lanes.now()
        if is_called:
            call("a")
        next(clock)
        lanes.found([], 10)
        assert (lanes.look_at <= next(clock)) is is_called
    connection.close()


def test_a_hold_goes_by_the_index_though_its_plan_was_made_for_an_empty_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE durable_task")
        cursor.execute("VACUUM ANALYZE durable_task")
    try:
        store.run(SESSION)
        store.hold("me", [store.Lane("default", 0, module.EVER)], 10, [effect.name])
        [(name, count)] = store.run(
            "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements"
            " WHERE statement LIKE '%%picked%%' AND generic_plans = 1"
        )
        plan = store.run(f'EXPLAIN EXECUTE "{name}"({", ".join(["NULL"] * count)})')
    finally:
        connection.close()
    found = "\n".join(line for (line,) in plan)
    assert "Seq Scan on durable_task" not in found, found
    assert "durable_task_free" in found, found


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

    monkeypatch.setattr(claim, "run", explain)
    monkeypatch.setattr(claim, "run_prepared", explain)
    monkeypatch.setattr(idle, "run", explain)
    store.hold("me", lanes, 10, [effect.name])
    store.lanes(["default"], [effect.name])
    store.lock_expired(10)
    for plan in plans:
        read = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name")]
        removed = sum(node.get("Rows Removed by Filter", 0) for node in read)
        assert removed == 0, plan
    assert len(plans) == 3


def test_a_lane_that_is_empty_is_looked_at_between_two_rescans_all_the_same() -> None:
    """A retry, a countdown that is over, a row that was let go: none of these wakes a worker."""
    queues = ["default", "mail"]
    lanes = Lanes(lambda: queues)
    debug_task.apply_async_on_commit(queue="mail", priority=3)
    lanes.rescan()
    Task.objects.all().delete()
    lanes.rescan()
    found = {(lane.queue, lane.priority) for lane in lanes.now()}
    assert found == {("default", 0), ("mail", 0), ("mail", 3)}
    queues.remove("mail")  # celery control cancel_consumer
    lanes.rescan()
    assert {lane.queue for lane in lanes.now()} == {"default"}
