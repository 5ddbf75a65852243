"""A chord's body is called when every task of its header has ended, once, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app as app
from celery import states, uuid
from celery.app.task import Context
from celery.result import AsyncResult
from django_celery_results.models import ChordCounter, TaskResult

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
