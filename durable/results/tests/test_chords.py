"""A chord's body is called when every task of its header has ended, once, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import chord as app_chord
from celery import current_app as app
from celery import group, states, uuid
from celery.app.task import Context
from celery.result import AsyncResult
from django.db import connections
from django_celery_results.models import ChordCounter, TaskResult

from durable.queue.caller.calls import durable
from durable.queue.models import Task
from durable.queue.tests.delivery import deliver
from durable.results import chords
from durable.results.backend import DatabaseBackend
from durable.results.models import ChordPart
from tests.durable_tasks import add

pytestmark = pytest.mark.django_db(transaction=True)


class Body:
    """Stands for the signature of a chord's body: counts its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def delay(self, results: list[Any]) -> None:
        self.calls.append(results)

    def get(self, name: str, default: Any = None) -> Any:
        return default


class Chord:
    """A chord of two tasks whose header was sent."""

    def __init__(self) -> None:
        self.backend = DatabaseBackend(app=app)
        self.body, self.group = Body(), uuid()
        self.tasks = [uuid(), uuid()]
        header = self.group, [AsyncResult(task) for task in self.tasks]
        self.backend.apply_chord(header, self.body)

    def ends(self, number: int, value: int) -> None:
        """Let a task of the header end."""
        task = self.tasks[number]
        request = Context(id=task, group=self.group, chord=self.body, children=[])
        self.backend.mark_as_done(task, value, request=request)


@pytest.fixture
def chord(monkeypatch: pytest.MonkeyPatch) -> Chord:
    monkeypatch.setattr(chords, "maybe_signature", lambda body, app: body)
    return Chord()


def test_the_body_gets_all_results_in_order(chord: Chord) -> None:
    chord.ends(1, 20)
    assert chord.body.calls == []
    chord.ends(0, 10)
    assert chord.body.calls == [[10, 20]]
    assert not ChordCounter.objects.exists()
    assert not ChordPart.objects.exists()


def test_a_redelivered_task_does_not_count_again(chord: Chord) -> None:
    chord.ends(0, 10)
    chord.ends(0, 10)
    assert ChordCounter.objects.get().count == 1
    assert chord.body.calls == []
    chord.ends(1, 20)
    chord.ends(1, 20)
    assert chord.body.calls == [[10, 20]]


def test_a_crash_before_the_body_was_called_is_made_good_by_the_redelivery(
    chord: Chord, monkeypatch: pytest.MonkeyPatch
) -> None:
    chord.ends(0, 10)

    class Killed(BaseException):
        pass

    def killed(*args: Any) -> None:
        raise Killed

    with monkeypatch.context() as crash:
        crash.setattr(chords, "_call_body", killed)
        with pytest.raises(Killed):
            chord.ends(1, 20)
    assert TaskResult.objects.filter(status=states.SUCCESS).count() == 2
    assert chord.body.calls == []
    chord.ends(1, 20)
    assert chord.body.calls == [[10, 20]]


def test_the_body_of_a_header_without_results_has_failed(
    chord: Chord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller of the chord gets its error, and its error callbacks are called."""
    monkeypatch.undo()
    body = add.s().set(task_id=uuid())
    for task in chord.tasks:
        request = Context(id=task, group=chord.group, chord=body, children=[], ignore_result=True)
        chord.backend.mark_as_done(task, 1, request=request)
    failed = TaskResult.objects.get(task_id=body.id)
    assert failed.status == states.FAILURE
    assert failed.result is not None
    assert "some have no result" in failed.result
    assert "some have no result" in caplog.text
    assert not ChordCounter.objects.exists()


class ReadsFromAReplica:
    """A router as Django's documentation has it."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


@pytest.fixture
def replica(settings: Any) -> Iterator[None]:
    """Reads go to another connection, which knows nothing of a transaction that is open.

    A test may not use it at all.
    """
    connections.databases["replica"] = connections["default"].settings_dict
    settings.DATABASE_ROUTERS = [ReadsFromAReplica()]
    yield
    del connections.databases["replica"]
    with suppress(AttributeError):
        del connections["replica"]


@pytest.mark.parametrize("header", [group, iter], ids=["known", "generator"])
def test_a_replica_that_is_behind_keeps_no_body_from_being_called(
    replica: None, effect_table: None, header: Any
) -> None:
    with durable():
        body = app_chord(header([add.s(1), add.s(2)]))(add.s())
    while row := Task.objects.using("default").first():
        deliver(row)
    assert TaskResult.objects.using("default").get(task_id=body.id).result == "3"


def test_the_results_of_a_header_are_read_by_one_query(
    chord: Chord, django_assert_max_num_queries: Any
) -> None:
    chord.tasks += [uuid() for _ in range(20)]
    ChordCounter.objects.all().delete()
    header = chord.group, [AsyncResult(task) for task in chord.tasks]
    chord.backend.apply_chord(header, chord.body)
    for number in range(21):
        chord.ends(number, number)
    with django_assert_max_num_queries(20):
        chord.ends(21, 21)
    assert chord.body.calls == [list(range(22))]
