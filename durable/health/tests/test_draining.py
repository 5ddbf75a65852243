"""docker/drain: a web process that is about to stop loses no request, and gets no new ones."""

from __future__ import annotations

import http.client
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.fixtures_worker import ROOT, Role, StartRole, free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Answer = tuple[int, str | None, str]


class Client:
    """One connection, which is kept for as long as the server lets it."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)

    def get(self, path: str) -> Answer:
        """Return the status, what the answer says of the connection, and its text."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        return answer.status, answer.getheader("Connection"), answer.read().decode()


class Web:
    """A web process with its port and the folder of its state."""

    def __init__(self, role: Role, port: int, folder: Path) -> None:
        self.role = role
        self.port = port
        self.folder = folder

    def drain(self) -> None:
        command = [str(ROOT / "docker/drain"), "0"]
        subprocess.run(command, env={"HEARTBEAT_DIR": str(self.folder)}, check=True)


@pytest.fixture
def web(start_role: StartRole, tmp_path: Path) -> Web:
    call_command("createcachetable", verbosity=0)
    port, folder = free_port(), tmp_path / "state"
    folder.mkdir()
    # Left by a process that was killed while it drained.
    (folder / "proj-web.draining").touch()
    role = start_role(
        "web", WEB_BIND=f"127.0.0.1:{port}", HEARTBEAT_DIR=str(folder), WEB_CONCURRENCY="1"
    )
    role.wait_for_line("Listening at")

    def serves() -> bool:
        try:
            return Client(port).get("/livez")[0] == 200
        except OSError:
            return False

    wait_for(serves, "the web role answers")
    return Web(role, port, folder)


def test_a_connection_is_kept_until_the_process_drains(web: Web) -> None:
    client = Client(web.port)
    wait_for(lambda: client.get("/readyz")[:2] == (200, "keep-alive"), "it is ready")

    web.drain()

    # By the connection that was kept: it is answered, and told that this was the last one.
    assert client.get("/admin/login/")[:2] == (200, "close")


def test_a_process_that_drains_is_not_ready_and_serves_all_the_same(web: Web) -> None:
    web.drain()

    assert Client(web.port).get("/readyz") == (503, "close", '{"status": "draining"}')
    assert Client(web.port).get("/livez")[0] == 200
    assert Client(web.port).get("/admin/login/")[0] == 200
