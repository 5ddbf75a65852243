"""A cable between a process and a server that a test can pull: a proxy on a port of 127.0.0.1."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qs, urlsplit

import pytest

from .fixtures_worker import database_url
from .ports import free_port


class Cable:
    """Carries bytes between 127.0.0.1:``port`` and *target*, until it is pulled.

    :param target: ``(host, port)``, or the path of a socket.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        #: None that connections get by themselves: while it is pulled, one could take it.
        self.port = free_port()
        #: Seconds until a connection is accepted.
        self.delay = 0.0
        self.plug()

    def plug(self) -> None:
        """Accept connections, on the same port each time."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._carry, args=(listener,), daemon=True).start()

    def pull(self) -> None:
        """Cut what is connected and refuse what comes, as a server that is down does."""
        listener, self._listener = self._listener, None
        if listener:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            listener.close()
        with self._lock:
            for peer in self._peers:
                with suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.pull()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, tuple):
            return socket.create_connection(self._target)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        return server

    def _carry(self, listener: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            with suppress(ValueError):  # pulled before this thread began
                ready.register(listener, selectors.EVENT_READ)
            while self._listener is listener or self._peers:
                for key, _ in ready.select(timeout=0.5):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    try:
                        if source is listener:
                            time.sleep(self.delay)
                            self._join(ready, listener, listener.accept()[0], self._connect())
                        elif source in self._peers:
                            data = source.recv(65536)
                            if not data:
                                raise ConnectionError
                            self._peers[source].sendall(data)
                    except OSError:
                        with suppress(KeyError, ValueError):  # closed by pull() meanwhile
                            ready.unregister(source)
                        if source is not listener:
                            self._part(ready, source)

    def _join(
        self,
        ready: selectors.BaseSelector,
        listener: socket.socket,
        client: socket.socket,
        server: socket.socket,
    ) -> None:
        with self._lock:
            if self._listener is not listener:  # pulled meanwhile
                client.close()
                server.close()
                return
            self._peers |= {client: server, server: client}
        ready.register(client, selectors.EVENT_READ)
        ready.register(server, selectors.EVENT_READ)

    def _part(self, ready: selectors.BaseSelector, source: socket.socket) -> None:
        with self._lock:
            other = self._peers.pop(source)
            self._peers.pop(other, None)
        with suppress(KeyError, ValueError):
            ready.unregister(other)
        source.close()
        other.close()


@pytest.fixture
def database() -> Iterator[Cable]:
    """A cable to the test's PostgreSQL."""
    parts = urlsplit(database_url())
    socket = parse_qs(parts.query).get("host")
    port = parts.port or 5432
    target = f"{socket[0]}/.s.PGSQL.{port}" if socket else (parts.hostname or "localhost", port)
    with Cable(target) as cable:
        yield cable


@pytest.fixture
def broker() -> Iterator[Cable]:
    """A cable to the test's broker."""
    parts = urlsplit(os.environ["CELERY_BROKER_URL"])
    with Cable((parts.hostname or "localhost", parts.port or 6379)) as cable:
        yield cable


def through(cable: Cable, url: str) -> str:
    """Return *url* by way of *cable*."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{cable.port}", query="").geturl()
