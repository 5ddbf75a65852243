"""One web role for the whole folder, on the test's database, and raw connections to it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from tests.fixtures_worker import ROOT, Role, database_url, free_port, wait_for
from tests.http_client import Visitor

#: Few, so that an attack soon has them all.
THREADS = 2


class Web:
    """The web role under attack."""

    def __init__(self, role: Role, port: int) -> None:
        self.role, self.port = role, port
        self._open = ExitStack()

    def visitor(self, **headers: str) -> Visitor:
        """Return a client with cookies of its own."""
        return Visitor(self.port, headers=headers)

    def connect(self, sends: bytes = b"", receives: int = 0) -> socket.socket:
        """Open a connection and send something; *receives*: the size of its window."""
        sock = self._open.enter_context(socket.socket())
        if receives:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        sock.settimeout(120)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(sends)
        return sock

    def ask(self, request: bytes) -> bytes:
        """Send *request* as it stands, and return all that comes back until the end."""
        sock = self.connect(request)
        answer = b""
        while part := received(sock):
            answer += part
        return answer

    def hang_up(self) -> None:
        """Close all connections of :meth:`connect`."""
        self._open.close()


def received(sock: socket.socket) -> bytes:
    """Return what comes next, nothing once the server ended the connection."""
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""


@pytest.fixture(scope="package")
def _web(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    folder, port = tmp_path_factory.mktemp("web"), free_port()
    with django_db_blocker.unblock():
        call_command("createcachetable", verbosity=0)
        url = database_url()
    env = {
        **os.environ,
        "DATABASE_URL": url,
        "HEARTBEAT_DIR": str(folder),
        "TMPDIR": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "WEB_BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": "1",
        "WEB_THREADS": str(THREADS),
        "GUNICORN_CMD_ARGS": "--worker-class tests.security.impatient.Worker",
    }
    role = Role("web", [], env, folder / "web.log")
    web = Web(role, port)
    try:
        role.wait_for_line("Listening at")
        wait_for(lambda: web.visitor().request("/readyz").status == 200, "web can serve")
        yield web
    finally:
        role.stop()


@pytest.fixture
def web(_web: Web, transactional_db: None) -> Iterator[Web]:
    """Give the web role, which must serve before the test and after it."""
    yield _web
    _web.hang_up()
    wait_for(lambda: _web.visitor().request("/livez").status == 200, "web lives")
