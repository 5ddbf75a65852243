"""A row is in one state, whatever happens to it in whatever order; one table says which."""

# ruff: noqa: S608 - the parts of a statement are constants here

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from durable.queue import places, store
from durable.queue.endings import janitor, quarantine
from durable.queue.endings.actions import discard
from durable.queue.models import Task
from durable.queue.states import CASE, FAR, STATES
from tests.durable_tasks import keeps_no_result

HOUR = timedelta(hours=1)

#: Values of the columns that states are made of.
COLUMNS: dict[str, tuple[Any, ...]] = {
    "worker": (None, "w"),
    "started_at": (None, timezone.now()),
    "quarantined_at": (None, timezone.now()),
    "due_at": (timezone.now() - HOUR, timezone.now() + HOUR),
    "unique_key": (None, "k"),
    "eligible_at": (None, timezone.now()),
}


def every_row() -> list[Task]:
    return [
        Task(task="x", queue="x", task_id="x", worker=worker, started_at=started_at,
             quarantined_at=quarantined_at, due_at=FAR if eligible_at else due_at, unique_key=key,
             unique_running=key and False, eligible_at=eligible_at)
        for eligible_at in COLUMNS["eligible_at"]
        for key in COLUMNS["unique_key"] for worker in COLUMNS["worker"]
        for started_at in COLUMNS["started_at"]
        for quarantined_at in COLUMNS["quarantined_at"] for due_at in COLUMNS["due_at"]
    ]  # fmt: skip


def in_time(name: str) -> Q:
    """Return what tells the two states apart that only the time does."""
    return {"scheduled": Q(due_at__gt=Now()), "ready": Q(due_at__lte=Now())}.get(name, Q())


@pytest.mark.django_db
class TestTheTable:
    def test_has_one_state_for_each_row_that_the_database_takes_and_it_takes_no_other(
        self,
    ) -> None:
        taken = 0
        for row in every_row():
            waits_no_more = row.started_at and row.unique_key
            no_worker = (row.started_at and not row.worker) or (row.eligible_at and row.worker)
            if (row.quarantined_at and row.worker) or no_worker or waits_no_more:
                with pytest.raises(IntegrityError, match="one_state"), transaction.atomic():
                    row.save()
                continue
            row.save()
            taken += row.unique_key is None and row.eligible_at is None
            [(found,)] = store.run(f"SELECT {CASE} FROM durable_task WHERE id = %s", [row.pk])
            for name, state in STATES.items():
                here = Task.objects.filter(pk=row.pk)
                by_sql = here.extra(where=[state.sql]).exists()  # noqa: S610
                by_django = here.filter(state.columns & in_time(name)).exists()
                assert (by_sql, by_django) == (name == found, name == found), name
            row.delete()  # another one has its key
        assert taken == 8


def test_no_other_file_has_a_statement_on_the_rows() -> None:
    root = Path(django_settings.BASE_DIR)
    statement = re.compile(r"\b(FROM|INTO|UPDATE|JOIN|TABLE)\s+(ONLY\s+)?\"?durable_task\b")
    found = {
        str(path.relative_to(root)) for top in ("durable", "proj", "apps")
        for path in (root / top).rglob("*.py")
        if not {"tests", "migrations"} & {*path.parts} and statement.search(path.read_text())
    }  # fmt: skip
    store = {path for path in found if path.startswith("durable/queue/store/")}
    assert found - store == {"durable/queue/places.py", "durable/queue/overview.py"}


class Model:
    """What is to be true of one row."""

    def __init__(self, state: str, priority: int) -> None:
        self.state, self.priority = state, priority
        self.worker: str | None = None
        self.attempt = self.clean = 0
        self.once = ""  # while what it is the only one
        self.key = self.later = False  # it needs a place, and its time has not come

    def free(self, state: str = "ready") -> None:
        self.state, self.worker = state, None
        if state == "quarantined":
            self.no_longer_waits()

    def again(self, state: str) -> None:
        """Wait for the next attempt; with a key, for a place too."""
        self.clean = self.attempt
        self.wait(state)

    def wait(self, state: str) -> None:
        self.later = state == "scheduled"
        self.free("limited" if self.key and state != "quarantined" else state)

    def no_longer_waits(self) -> None:
        self.once = "" if self.once == "waiting" else self.once

    def crash(self) -> None:
        self.free("quarantined" if self.attempt - self.clean >= MOST else "ready")

    def end_in_order(self, state: str) -> None:
        self.clean = self.attempt
        self.free(state)


#: Attempts in a row that end without a word until quarantine.
MOST = 2

EXAMPLES = examples(
    max_examples=25, stateful_step_count=60, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

WORKERS = ("alice", "bob")
workers = st.sampled_from(WORKERS)
often = st.sampled_from([True, True, True, False])

Action = tuple[Callable[..., None], Callable[[Any], Any], dict[str, Any]]
ACTIONS: list[Action] = []


def action(when: Callable[[Any], Any] = lambda rows: True, **draws: Any) -> Any:
    """Let a method be one of the things that happen, where *when* says that it can do anything.

    Hypothesis' own choice of rules leaves most of them out in most examples, and many of these do
    nothing then.
    """

    def register(method: Callable[..., None]) -> Callable[..., None]:
        ACTIONS.append((method, when, draws))
        return method

    return register


class Rows(RuleBasedStateMachine):
    """Some workers and a person, each of whom may act on what they knew of a row long ago."""

    def __init__(self) -> None:
        super().__init__()
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE test_effect; DELETE FROM durable_task")
        self.rows: dict[int, Model] = {}
        self.finished: set[int] = set()
        self.highest: dict[int, int] = {}
        self.tickets: list[Any] = []  # a row, its attempts when it was held, and by whom
        self.tokens: list[Any] = []  # a row, and an attempt that has begun

    def one_of(self, known: list[Any], data: st.DataObject) -> Any:
        """Draw from what was *known* at some time, of rows that are still there if it can be."""
        there = [one for one in known if one[0] in self.rows]
        return data.draw(st.sampled_from(there or known))

    def among(self, *states: str) -> list[int]:
        return [row_id for row_id, row in self.rows.items() if row.state in states]

    def newest(self, token: tuple[int, int]) -> Model | None:
        """Return the row of an attempt, if no later one has begun."""
        row = self.rows.get(token[0])
        return row if row and row.attempt == token[1] else None

    # --- The caller ------------------------------------------------------------------------------

    @action(
        lambda rows: len(rows.rows) < 3,  # few rows, which they all are after
        later=st.booleans(), priority=st.integers(0, 1), commits=often,
    )  # fmt: skip
    def call(self, later: bool, priority: int, commits: bool) -> None:
        with transaction.atomic():
            result = keeps_no_result.apply_async_on_commit(
                countdown=3600 if later else None, priority=priority
            )
            row_id = Task.objects.get(task_id=result.id).pk
            transaction.set_rollback(not commits)
        if commits:
            self.rows[row_id] = Model("scheduled" if later else "ready", priority)

    @action(
        lambda rows: len(rows.rows) < 3,
        while_=st.sampled_from(["waiting", "unfinished"]), commits=often,
    )  # fmt: skip
    def call_once(self, while_: Any, commits: bool) -> None:
        others = {str(row_id) for row_id, row in self.rows.items() if row.once == while_}
        with transaction.atomic():
            result = keeps_no_result.unique(while_=while_).delay_on_commit()
            row_id = Task.objects.get(task_id=result.id).pk
            transaction.set_rollback(not commits)
        assert result.is_new is not bool(others), "it says whether it is new"
        assert result.is_new or {str(row_id)} == others
        if commits and result.is_new:
            self.rows[row_id] = Model("ready", 0)
            self.rows[row_id].once = while_

    @action(lambda rows: len(rows.rows) < 3, later=st.booleans())
    def call_limited(self, later: bool) -> None:
        result = keeps_no_result.apply_async_on_commit(
            countdown=3600 if later else None, concurrency_key="k"
        )
        row = self.rows[Task.objects.get(task_id=result.id).pk] = Model("limited", 0)
        row.key, row.later = True, later

    @action(lambda rows: rows.among("limited"))
    def admit(self) -> None:
        places.admit(["default"])
        taken = [row for row in self.rows.values()
                 if row.key and row.state not in ("limited", "quarantined")]  # fmt: skip
        due = [row_id for row_id in self.among("limited") if not self.rows[row_id].later]
        if due and not taken:
            [admitted] = Task.objects.filter(pk__in=due, eligible_at=None)
            self.rows[admitted.pk].free()

    @action(lambda rows: rows.among("scheduled", "limited"))
    def time_passes(self) -> None:
        Task.objects.filter(due_at__gt=Now(), eligible_at=None).update(due_at=Now())
        Task.objects.filter(eligible_at__gt=Now()).update(eligible_at=Now())
        for row_id in self.among("limited"):
            self.rows[row_id].later = False
        for row_id in self.among("scheduled"):
            self.rows[row_id].free()

    # --- Workers ---------------------------------------------------------------------------------

    def line(self, limit: int) -> list[int]:
        """Return the priorities of the rows that are first in line."""
        return sorted(self.rows[row_id].priority for row_id in self.among("ready"))[:limit]

    @action(lambda rows: rows.among("ready"), worker=workers, limit=st.integers(1, 2))
    def hold(self, worker: str, limit: int) -> None:
        line = self.line(limit)
        held = store.hold(worker, store.lanes(["default"]), limit)
        assert [row.priority for row in held] == line
        for row in held:
            model = self.rows[row.id]
            assert (model.state, model.attempt) == ("ready", row.attempt)
            model.state, model.worker = "held", worker
            self.tickets.append((row.id, row.attempt, worker))

    @action(lambda rows: rows.tickets, data=st.data())
    def begin(self, data: st.DataObject) -> None:
        row_id, attempt, worker = self.one_of(self.tickets, data)
        number = store.begin(row_id, attempt, worker)
        row = self.rows.get(row_id)
        mine = row and (row.state, row.worker, row.attempt) == ("held", worker, attempt)
        assert number == (attempt + 1 if mine else None)
        if row is not None and number is not None:
            row.state, row.attempt = "running", number
            row.no_longer_waits()
            self.tokens.append((row_id, number))

    @action(lambda rows: rows.among("ready"), worker=workers, limit=st.integers(1, 2))
    def take(self, worker: str, limit: int) -> None:
        line = self.line(limit)
        taken = store.take(worker, store.lanes(["default"]), limit)
        assert [row.priority for row in taken] == line
        for row in taken:
            model = self.rows[row.id]
            assert (model.state, model.attempt + 1) == ("ready", row.attempt)
            model.state, model.worker, model.attempt = "running", worker, row.attempt
            model.no_longer_waits()
            self.tokens.append((row.id, row.attempt))

    @action(lambda rows: rows.tokens, data=st.data(), dies=often, one=st.booleans())
    def finish(self, data: st.DataObject, dies: bool, one: bool) -> None:
        """Commit the effects with the end, unless this attempt is overtaken or its process dies."""
        token = self.one_of(self.tokens, data)
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO test_effect (label, start) VALUES (%s, %s)", token)
            ended = store.finish_one(*token) if one else store.finish([token]) == {token[0]}
            transaction.set_rollback(dies or not ended)
        assert ended == bool(self.newest(token))
        if ended and not dies:
            del self.rows[token[0]]
            self.finished.add(token[0])

    @action(lambda rows: rows.tokens, data=st.data(), later=st.booleans())
    def reschedule(self, data: st.DataObject, later: bool) -> None:
        token = self.one_of(self.tokens, data)
        row, due_at = self.newest(token), timezone.now() + (HOUR if later else -HOUR)
        assert store.reschedule(token[0], token[1], due_at, "retry") is (row is not None)
        if row is not None:  # it may have been given up, and be right all the same
            free = "scheduled" if later else "ready"
            row.again(free if row.state != "quarantined" else row.state)

    @action(
        lambda rows: rows.tokens, data=st.data(), last=st.booleans(),
        cause=st.sampled_from([quarantine.OUTAGE, quarantine.REJECTED]),
    )  # fmt: skip
    def postpone(self, data: st.DataObject, cause: quarantine.Cause, last: bool) -> None:
        token = self.one_of(self.tokens, data)
        row = self.newest(token)
        runs = row is not None and row.state == "running"
        cause = cause._replace(limit=1 if last else 1000)
        assert quarantine.postpone_or_quarantine(token[0], token[1], cause, "why") is runs
        if row is not None and runs:
            row.again("quarantined" if last else "scheduled")

    @action(lambda rows: rows.tickets, data=st.data(), last=st.booleans())
    def refuse(self, data: st.DataObject, last: bool) -> None:
        row_id, attempt, worker = self.one_of(self.tickets, data)
        row = self.rows.get(row_id)
        mine = row is not None and (row.state, row.worker, row.attempt) == ("held", worker, attempt)
        cause = quarantine.UNREADABLE._replace(limit=1 if last else 1000)
        found = quarantine.postpone_or_quarantine(row_id, attempt, cause, "why", worker)
        assert found is mine
        if row is not None and mine:
            row.wait("quarantined" if last else "scheduled")

    @action(lambda rows: rows.among("held", "running"), worker=workers, clean=st.booleans())
    def stop(self, worker: str, clean: bool) -> None:
        quarantine.release("worker = %(me)s", {"me": worker}, "it stopped", clean=clean)
        self.lose(worker, clean)

    @action(lambda rows: rows.among("held", "running"), worker=workers)
    def die(self, worker: str) -> None:
        """Give no sign of life any more; what is left of it is the janitor's."""
        for other in WORKERS:
            if other != worker:
                store.beat(other, "host", 1, 1)
        store.sign_off(worker)
        Task.objects.filter(worker=worker, started_at__isnull=False).update(started_at=Now() - HOUR)
        # On a busy machine much time has gone by since it looked, and it would wait.
        janitor._steady_since, janitor._last = float("-inf"), time.monotonic()
        janitor.sweep()
        self.lose(worker, clean=False)

    def lose(self, worker: str, clean: bool) -> None:
        for row in self.rows.values():
            if row.worker == worker and row.state == "held":
                row.free()
            elif row.worker == worker:
                row.end_in_order("ready") if clean else row.crash()

    # --- A person --------------------------------------------------------------------------------

    @action(lambda rows: rows.among("quarantined"))
    def requeue(self) -> None:
        assert quarantine.requeue(list(self.rows), "me") == len(self.among("quarantined"))
        for row_id in self.among("quarantined"):
            self.rows[row_id].again("ready")

    @action(lambda rows: len(rows.rows) > 2, data=st.data())
    def discard(self, data: st.DataObject) -> None:
        row_id = data.draw(st.sampled_from(sorted(self.rows)))
        runs = self.rows[row_id].state == "running"
        assert discard([row_id], "me")[:2] == (not runs, runs)
        if not runs:
            del self.rows[row_id]

    @rule(data=st.data())
    def anything(self, data: st.DataObject) -> None:
        possible = [action for action in ACTIONS if action[1](self)]
        method, _, draws = data.draw(st.sampled_from(possible))
        method(
            self,
            **{name: data if name == "data" else data.draw(draw) for name, draw in draws.items()},
        )

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        found = store.run(
            f"SELECT id, {CASE}, worker, attempt, clean_attempt FROM durable_task ORDER BY id"
        )
        assert found == [
            (row_id, row.state, row.worker, row.attempt, row.clean)
            for row_id, row in sorted(self.rows.items())
        ]
        for row_id, _, _, attempt, clean in found:
            assert clean <= attempt
            assert self.highest.get(row_id, 0) <= attempt, "an attempt's number never falls"
            self.highest[row_id] = attempt
        effects = store.run("SELECT label::bigint FROM test_effect ORDER BY 1")
        assert [row[0] for row in effects] == sorted(self.finished), "once, and with the end"


def test_no_order_of_events_breaks_what_the_queue_promises(
    effect_table: None, only_janitor: None, long_pauses: None, settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings.DURABLE_MAX_ATTEMPTS = MOST
    settings.DURABLE_DEAD_AFTER = 1800  # less than die() puts back; the others live on meanwhile
    for name in ("_steady_since", "_last"):  # what die() sets ends with this test
        monkeypatch.setattr(janitor, name, getattr(janitor, name))
    run_state_machine_as_test(Rows, settings=EXAMPLES)
