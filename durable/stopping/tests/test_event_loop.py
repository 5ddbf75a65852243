"""The event loop of a worker that stops, on kombu's own hub."""

from __future__ import annotations

import os

from kombu.asynchronous import Hub

from durable.stopping.event_loop import wakes_after


def test_a_turn_does_not_wait_for_the_timer_after_its_own() -> None:
    hub = Hub()
    hub.add_reader(os.pipe()[0], int)  # nothing is ever written to it
    hub.call_later(60, int)
    waits: list[float] = []
    hub.poller.poll = waits.append
    timer = wakes_after(hub, 0)
    loop = hub.create_loop()
    for _ in range(3):
        next(loop)
    timer.cancel()
    assert max(waits) <= 0.01
    hub.close()
