"""A broker that is frozen holds up no event loop, and so no durable task."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from durable.database import background
from durable.queue.worker import events
from tests.fixtures_worker import wait_for


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A connection to a Redis that takes it and never answers; this is the event loop."""
    monkeypatch.setattr(background, "is_event_loop", lambda: True)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        times = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), 0.5)
        yield Connection(f"redis://127.0.0.1:{server.getsockname()[1]}/0", transport_options=times)


def test_a_heartbeat_waits_beside_the_loop_and_ends_the_connection_later(
    frozen: Connection,
) -> None:
    dispatcher = events.Dispatcher(frozen, hostname="worker", buffer_group={"task"})
    for event in (events.HEARTBEAT, events.HEARTBEAT, events.OFFLINE):
        dispatcher.send(event)
    wait_for(lambda: not dispatcher._beats.waits, "it was given up")
    with pytest.raises(OperationalError):
        dispatcher.send(events.HEARTBEAT)
    dispatcher.close()
