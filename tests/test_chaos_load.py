"""The load of the fault suite counts a failed request, and only those."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException

import pytest

from .chaos.visitor import Visitor
from .fixtures_worker import PATIENCE

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[socket.socket], None]


class Server:
    """Takes connections, one after another, and does with each what it is told."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.connections = 0
        self.closed = threading.Event()
        self.serve: Serve = lambda connection: None

    def run(self) -> None:
        """Serve until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self.serve(connection)
            self.closed.set()

    def visitor(self, *, keep_alive: bool) -> Visitor:
        """Return a visitor of this server."""
        return Visitor("127.0.0.1", self.port, {"Host": "localhost"}, keep_alive=keep_alive)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    # Wakes up accept(), which close() alone does not.
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join(5)


def answers(times: int) -> Serve:
    """Answer so many requests of a connection; it is closed afterwards, and nothing says so."""

    def serve(connection: socket.socket) -> None:
        for _ in range(times):
            if not connection.recv(4096):
                return
            connection.sendall(ANSWER)
        if not times:
            connection.recv(4096)

    return serve


def test_a_kept_connection_is_used_again(server: Server) -> None:
    server.serve = answers(3)
    visitor = server.visitor(keep_alive=True)
    assert [visitor.request("GET", "/")[0] for _ in range(3)] == [200] * 3
    assert server.connections == 1


def test_each_request_has_a_connection_of_its_own_otherwise(server: Server) -> None:
    server.serve = answers(3)
    visitor = server.visitor(keep_alive=False)
    assert [visitor.request("GET", "/")[0] for _ in range(3)] == [200] * 3
    assert server.connections == 3


def test_a_connection_that_the_server_has_closed_meanwhile_is_replaced(server: Server) -> None:
    server.serve = answers(1)
    visitor = server.visitor(keep_alive=True)
    assert visitor.request("GET", "/") == (200, b"ok")
    assert server.closed.wait(PATIENCE)
    assert visitor.request("GET", "/") == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_connection_that_is_closed_instead_of_an_answer_is_a_failure(
    server: Server, keep_alive: bool
) -> None:
    server.serve = answers(0)
    with pytest.raises((OSError, HTTPException)):
        server.visitor(keep_alive=keep_alive).request("GET", "/")
    assert server.connections == 1
