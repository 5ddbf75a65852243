"""How a worker tells a start that crashed from one whose end it could only not write down."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from apps.outbox import conf, identity, store
from apps.outbox.heartbeat import UNWRITTEN, Heartbeat
from apps.outbox.models import Entry
from tests import outbox_tasks as tasks

pytestmark = pytest.mark.usefixtures("effect_table")

CRASHED = "the process that ran it died"


def begin() -> SimpleNamespace:
    """Start the task's row in this worker; return its message, as the main process knows it."""
    row = Entry.objects.get()
    assert store.claim(row.id, row.starts, identity.worker_id())
    return SimpleNamespace(request_dict={conf.HEADER: [row.id, row.starts, 0.0]})


def two_beats(heartbeat: Heartbeat) -> Entry:
    """Beat until the start that nobody runs is given up; return its row."""
    heartbeat.beat()
    heartbeat.beat()
    return Entry.objects.get()


def test_a_start_whose_process_died_counts_towards_the_quarantine() -> None:
    tasks.effect.delay_on_commit("a")
    heartbeat = Heartbeat()
    heartbeat.crashed(begin())
    row = two_beats(heartbeat)
    assert (row.worker, row.starts, row.reported) == (None, 1, 0)
    assert [line["what"] for line in row.history] == [CRASHED]


def test_it_counts_also_when_its_message_came_back_and_was_turned_away() -> None:
    tasks.effect.delay_on_commit("a")
    heartbeat = Heartbeat()
    for number in (1, 2, 3):
        message = begin()
        heartbeat.crashed(message)
        heartbeat.returned(message)  # the copy that the broker delivers again
        row = two_beats(heartbeat)
        assert (row.starts, row.reported) == (number, 0)
    assert {line["what"] for line in row.history} == {CRASHED}


def test_it_counts_also_when_a_heartbeat_fell_into_the_time_of_the_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tasks.effect.delay_on_commit("a")
    heartbeat = Heartbeat()
    message = begin()
    heartbeat.crashed(message)
    with monkeypatch.context() as held:
        held.setattr(heartbeat, "held", lambda: {Entry.objects.get().id})
        heartbeat.beat()
    heartbeat.returned(message)
    assert two_beats(heartbeat).reported == 0


def test_a_start_that_returned_and_left_its_row_counts_too() -> None:
    """Whatever the reason is, a task must not be started for ever by it."""
    tasks.effect.delay_on_commit("a")
    heartbeat = Heartbeat()
    heartbeat.returned(begin())
    row = two_beats(heartbeat)
    assert (row.worker, row.starts, row.reported) == (None, 1, 0)
    assert [line["what"] for line in row.history] == [UNWRITTEN]


def test_an_earlier_crash_says_nothing_of_the_next_start() -> None:
    tasks.effect.delay_on_commit("a")
    heartbeat = Heartbeat()
    heartbeat.crashed(begin())
    two_beats(heartbeat)
    heartbeat.returned(begin())
    row = two_beats(heartbeat)
    assert [line["what"] for line in row.history] == [CRASHED, UNWRITTEN]
