"""A broker that is frozen holds up no event loop, and so no durable task."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from durable.database import background
from durable.queue.worker import broker
from tests.fixtures_worker import PATIENCE, wait_for


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A Redis that takes connections and never answers; this is the event loop."""
    monkeypatch.setattr(background, "is_event_loop", lambda: True)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_a_heartbeat_waits_beside_the_loop_and_ends_the_connection_later(
    frozen: socket.socket,
) -> None:
    times = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), PATIENCE)
    url = f"redis://127.0.0.1:{frozen.getsockname()[1]}/0"
    connection = Connection(url, transport_options=times)
    dispatcher = broker.Dispatcher(connection, hostname="worker", buffer_group={"task"})
    for event in (broker.HEARTBEAT, broker.HEARTBEAT, broker.OFFLINE):
        dispatcher.send(event)
    assert dispatcher._beats.waits
    frozen.close()  # as a socket_timeout ends the wait, but when the test says so
    wait_for(lambda: not dispatcher._beats.waits, "it was given up")
    with pytest.raises(OperationalError):
        dispatcher.send(broker.HEARTBEAT)
    dispatcher.close()
