"""Web on a socket that systemd holds: a restart refuses no request, and ends none."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.chaos.visitor import Visitor
from tests.fixtures_worker import PATIENCE, database_url, wait_for

from .tree import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def web(held: socket.socket, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start web as proj-web.service does: the socket is file 3, and two variables say so."""
    env = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "HEARTBEAT_DIR": str(log.parent),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LISTEN_FDS": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", "LISTEN_PID=$$; export LISTEN_PID; exec docker/entrypoint.sh web"],
            cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT, pass_fds=(3,),
            preexec_fn=lambda: os.dup2(held.fileno(), 3),
        )  # fmt: skip
        try:
            wait_for(lambda: "Booting worker" in log.read_text(), f"web serves: {log}", PATIENCE)
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


def test_a_restart_fails_no_request(tmp_path: Path) -> None:
    failures: list[str] = []
    done = Event()
    numbers = [0] * 4

    def visit(number: int) -> None:
        port = held.getsockname()[1]
        visitor = Visitor("127.0.0.1", port, {}, keep_alive=False, timeout=PATIENCE)
        while not done.wait(0.02):
            try:
                status, _ = visitor.request("GET", "/admin/login/")
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
            else:
                failures.extend([str(status)] if status != 200 else [])
            numbers[number] += 1

    with socket.create_server(("127.0.0.1", 0), backlog=128) as held:
        threads = [Thread(target=visit, args=[number]) for number in range(len(numbers))]
        with web(held, tmp_path / "old.log"):
            for thread in threads:
                thread.start()
            wait_for(lambda: all(numbers), "all were served", PATIENCE)
        before = max(numbers)
        with web(held, tmp_path / "new.log"):
            wait_for(lambda: min(numbers) > before + 1, "again", PATIENCE)
            done.set()
            for thread in threads:
                thread.join()
    assert failures == []
