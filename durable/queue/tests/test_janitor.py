"""What no worker ends: rows of dead workers are ready again, and what has expired is revoked.

In small steps, each row with its result.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import chord, states
from celery.result import AsyncResult
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now

from durable.queue import conf, store
from durable.queue.caller.calls import durable
from durable.queue.endings import actions, janitor
from durable.queue.models import Task, Worker
from tests.durable_tasks import add, effect
from tests.fixtures_durable import names

from .delivery import begin, hold

pytestmark = pytest.mark.usefixtures("effect_table", "steady")

MINUTE = timedelta(minutes=1)
#: Seconds; longer than a test takes.
DEAD_AFTER = 1800


@pytest.fixture
def steady(only_janitor: None, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Let this process have run for a long time, and not stood still, as a slow one does."""
    settings.DURABLE_DEAD_AFTER = DEAD_AFTER
    monkeypatch.setattr(janitor, "_steady_since", float("-inf"))
    monkeypatch.setattr(janitor, "_last", time.monotonic())


def expired(*labels: str) -> list[AsyncResult]:
    """Call tasks that have expired, the first one the longest ago."""
    results = [effect.apply_async_on_commit([label], expires=3600) for label in labels]
    Task.objects.filter(expires__isnull=False).update(
        expires=Now() - 60 * MINUTE + F("id") * timedelta(milliseconds=1)
    )
    return results


def states_of(results: list[AsyncResult]) -> list[str]:
    return [result.state for result in results]


class TestADeadWorker:
    @pytest.fixture(autouse=True)
    def rows(self, effect_table: None) -> list[Task]:
        """Two rows of a worker, one that it runs and one that it holds; and two of another."""
        for label in names(4):
            effect.delay_on_commit(label)
        rows = list(Task.objects.order_by("id"))
        for row, worker in zip(rows, ("dead", "dead", "alive", "alive"), strict=True):
            store.hold_one(row.pk, worker)
        for row in rows[::2]:
            begin(row, "dead" if row is rows[0] else "alive")
        for worker in ("dead", "alive"):
            store.beat(worker, "host", 1, 2)
        return rows

    def dies(self) -> None:
        long_ago = Now() - timedelta(seconds=DEAD_AFTER) - MINUTE
        Worker.objects.filter(id="dead").update(seen_at=long_ago)
        Task.objects.filter(started_at__isnull=False).update(started_at=long_ago)

    def test_loses_its_rows_and_nobody_else_does(self, rows: list[Task]) -> None:
        assert janitor.sweep() == 0
        self.dies()
        assert janitor.sweep() == 2
        ran, held, *others = Task.objects.order_by("id")
        assert [row.worker for row in (ran, held, *others)] == [None, None, "alive", "alive"]
        assert (ran.attempt, ran.clean_attempt) == (1, 0), "it counts as a crash"
        assert [line["what"] for line in ran.history] == ["the worker that ran it died"]
        assert (held.attempt, held.history, held.due_at) == (0, [], rows[1].due_at)
        assert Worker.objects.get().pk == "alive"
        assert janitor.sweep() == 0

    @pytest.mark.parametrize(
        ("stood", "heartbeat"), [(DEAD_AFTER, 2), (0.75 * DEAD_AFTER, DEAD_AFTER / 3)]
    )  # the last sign of life may have been a heartbeat old
    def test_is_none_while_this_process_stood_still_as_the_workers_may_have(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any, stood: float, heartbeat: float
    ) -> None:
        self.dies()
        settings.DURABLE_HEARTBEAT = heartbeat
        monkeypatch.setattr(janitor, "_last", time.monotonic() - stood)
        assert [janitor.sweep(), janitor.sweep()] == [0, 0]
        assert Worker.objects.count() == 2


class TestATaskThatNoWorkerKnows:
    @pytest.fixture(autouse=True)
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let each sweep look, and a task be unknown for long enough at the second one."""
        monkeypatch.setattr(janitor, "UNKNOWN_EVERY", 0.0)
        monkeypatch.setattr(janitor, "UNKNOWN_AFTER", 0.0)
        monkeypatch.setattr(janitor, "_unknown", {})
        monkeypatch.setattr(janitor, "_unknown_at", 0.0)

    def sweep(self, *knows: str, queues: str = "default", after: float = 0.0) -> list[str]:
        """Look twice, with one living worker that knows these; return what is in quarantine."""
        janitor.UNKNOWN_AFTER = after
        store.sign_off("alive")
        store.beat("alive", "host", 1, 2, queues.split(","), knows)
        janitor.sweep()
        janitor.sweep()
        return [row.task for row in Task.objects.exclude(quarantined_at=None)]

    @pytest.mark.parametrize("options", [{}, {"concurrency_key": "k"}])
    def test_waits_in_its_place_and_is_quarantined_in_the_end(
        self, options: dict[str, Any]
    ) -> None:
        result = effect.apply_async_on_commit(["a"], **options)
        add.delay_on_commit(1, 2)
        assert self.sweep(add.name, after=3600.0) == []
        assert self.sweep(add.name) == [effect.name]
        error = Task.objects.get(task=effect.name).error
        assert "no worker knows it. Start workers with that task for the queue default" in error
        assert result.state == states.FAILURE

    def test_is_none_if_another_worker_knows_it_or_none_takes_from_its_queue(self) -> None:
        effect.delay_on_commit("a")
        assert self.sweep(add.name, queues="mail") == []
        store.beat("another", "host", 2, 2, ["default"], [effect.name])
        assert self.sweep(add.name) == []

    @pytest.mark.parametrize(("kind", "name"), [("task", effect.name), ("queue", "default")])
    def test_waits_on_while_it_is_paused(self, kind: actions.Kind, name: str) -> None:
        effect.delay_on_commit("a")
        actions.pause(kind, name, "me")
        assert self.sweep(add.name) == []
        actions.resume(kind, name)
        assert self.sweep(add.name) == [effect.name]


def test_a_long_backlog_is_revoked_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "BATCH", 2)
    results = expired(*names(5))
    assert janitor.sweep() == 2
    assert states_of(results) == [states.REVOKED] * 2 + [states.PENDING] * 3
    effect.apply_async_on_commit(["in time"], expires=3600)
    effect.delay_on_commit("without end")
    assert [janitor.sweep(), janitor.sweep(), janitor.sweep()] == [2, 1, 0]
    assert states_of(results) == [states.REVOKED] * 5
    assert Task.objects.count() == 2


def test_what_has_expired_is_revoked_while_it_is_held_and_not_while_it_runs() -> None:
    held, runs = effect.delay_on_commit("held"), effect.delay_on_commit("runs")
    begin(Task.objects.get(task_id=runs.id))
    hold()
    Task.objects.update(expires=Now() - MINUTE)
    assert janitor.revoke_expired() == 1
    assert (held.state, Task.objects.get().task_id) == (states.REVOKED, runs.id)


@pytest.fixture
def breaks_on_result() -> Iterator[Any]:
    """Let the table of results do something when that of one task is stored."""

    def arrange(task_id: str, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION test_break() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN IF NEW.task_id = '{task_id}' THEN {statement}; END IF;"
                " RETURN NEW; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER test_break BEFORE INSERT OR UPDATE"
                " ON django_celery_results_taskresult"
                " FOR EACH ROW EXECUTE FUNCTION test_break()"
            )

    yield arrange
    mend()


def mend() -> None:
    connection.close()  # it may be broken
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS test_break CASCADE")


def test_a_crash_in_the_middle_leaves_rows_that_are_revoked_later(breaks_on_result: Any) -> None:
    results = expired("a", "b")
    breaks_on_result(results[1].id, "PERFORM pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(OperationalError):
        janitor.sweep()
    mend()
    assert states_of(results) == [states.PENDING] * 2
    assert Task.objects.count() == 2
    assert janitor.sweep() == 2
    assert states_of(results) == [states.REVOKED] * 2
    assert not Task.objects.exists()


def test_one_that_can_not_be_revoked_now_keeps_no_rows_of_dead_workers(
    breaks_on_result: Any,
) -> None:
    """As while the result backend is away: the rows need it not."""
    results = expired("a")
    breaks_on_result(results[0].id, "PERFORM pg_terminate_backend(pg_backend_pid())")
    held = Task.objects.get(task_id=effect.delay_on_commit("b").id)
    store.hold_one(held.pk, "dead")
    with pytest.raises(OperationalError):
        janitor.sweep()
    mend()
    held.refresh_from_db()
    assert held.worker is None


def test_one_whose_end_cannot_be_stored_holds_up_no_other(breaks_on_result: Any) -> None:
    results = expired("a", "b", "c")
    breaks_on_result(results[0].id, "RAISE EXCEPTION 'no room for it'")
    unreadable = Task.objects.get(task_id=results[1].id)
    Task.objects.filter(id=unreadable.id).update(body="not JSON")
    janitor.sweep()
    assert results[2].state == states.REVOKED
    left = Task.objects.order_by("id")
    assert [row.task_id for row in left] == [results[0].id, results[1].id]
    assert all(row.quarantined_at for row in left)
    assert "no room for it" in left[0].error
    assert "its body can't be read" in left[1].error
    assert results[1].state == states.FAILURE
    assert janitor.sweep() == 0


def test_a_part_of_a_chord_that_has_expired_counts_as_failed() -> None:
    with durable():
        body = chord([add.s(1).set(expires=3600), add.s(2).set(expires=3600)], add.s()).delay()
    Task.objects.update(expires=Now() - MINUTE)
    janitor.sweep()
    assert body.state == states.FAILURE
