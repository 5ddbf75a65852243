"""How a worker tells a start that crashed from one whose end it could only not write down."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from durable.queue import conf, identity, store
from durable.queue.heartbeat import UNWRITTEN, Heartbeat
from durable.queue.models import Task, Worker
from tests import durable_tasks as tasks

pytestmark = pytest.mark.usefixtures("effect_table")

CRASHED = "the process that ran it died"


@dataclass(eq=False)
class Message:
    """Celery's request of a message, as far as a heartbeat reads it."""

    request_dict: dict[str, Any]
    delivery_info: dict[str, Any]
    acknowledged: bool = True


def arrived(at: float, *lane: str, routing_key: str = "default") -> Message:
    """A message that a worker has received, of a row that was sent *at* that time."""
    return Message(
        request_dict={conf.HEADER: [1, 0, at, *lane]},
        delivery_info={"routing_key": routing_key, "priority": 0},
    )


def lanes_after(heartbeat: Heartbeat, message: Message) -> dict[str, float]:
    heartbeat.received(message)
    heartbeat.beat()
    return dict(Worker.objects.get().lanes)


def begin() -> SimpleNamespace:
    """Start the task's row in this worker; return its message, as the main process knows it."""
    row = Task.objects.get()
    assert store.claim(row.id, row.starts, identity.worker_id())
    return SimpleNamespace(request_dict={conf.HEADER: [row.id, row.starts, 0.0]})


def two_beats(heartbeat: Heartbeat) -> Task:
    """Beat until the start that nobody runs is given up; return its row."""
    heartbeat.beat()
    heartbeat.beat()
    return Task.objects.get()


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
        held.setattr(heartbeat, "held", lambda: {Task.objects.get().id})
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


def test_how_far_a_queue_has_come_is_said_by_the_lane_that_its_rows_wait_in() -> None:
    """Behind a topic exchange, the routing key is another name than the queue's."""
    message = arrived(1.0, "reports/5", routing_key="year.2026")
    assert lanes_after(Heartbeat(), message) == {"reports/5": 1.0}


def test_messages_of_before_the_upgrade_name_no_lane() -> None:
    assert lanes_after(Heartbeat(), arrived(1.0)) == {"default/0": 1.0}


def test_after_the_database_s_clock_was_set_back_a_queue_goes_on_from_there() -> None:
    heartbeat, now = Heartbeat(), time.time()
    lanes_after(heartbeat, arrived(now + 3600, "default/0"))
    assert lanes_after(heartbeat, arrived(now, "default/0")) == {"default/0": now}
