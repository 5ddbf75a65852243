"""Real workers and real beats for tests: processes of the role table, on the test's own database.

A test that uses them must be ``django_db(transaction=True)``: another process sees only what is
committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import IO, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection
from kombu.entity import Queue

from proj.celery import app
from tests.ports import free_port as free_port
from tests.servers import dying_with_us

T = TypeVar("T")

ROOT = Path(settings.BASE_DIR)


#: Seconds for what takes a few on an idle machine: a slow or busy one is no fault of the code.
PATIENCE = 180


def wait_for(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Return the first true value of *condition*, asked again and again; fail after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() > end  # before it is asked: this process may have stood still
        if value := condition():
            return value
        if late:
            pytest.fail(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.05)


def database_url() -> str:
    """Return the URL of the database that pytest-django made for this run."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    name = quote(str(connection.settings_dict["NAME"]))
    return urlunsplit(parts._replace(path=f"/{name}"))


class Role:
    """One role of docker/entrypoint.sh as a process, with its log in a file."""

    def __init__(
        self, name: str, arguments: list[str], env: dict[str, str], log: Path, cwd: Path = ROOT
    ) -> None:
        self.log = log
        self._file: IO[bytes] = log.open("wb")
        self.process = subprocess.Popen(
            [*dying_with_us(SIGTERM), cwd / "docker" / "entrypoint.sh", name, *arguments],
            cwd=cwd,
            env=env,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def output(self) -> str:
        """Return what the process has written so far."""
        return self.log.read_text(errors="replace")

    def wait_for_line(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until *text* stands in the log; a process that ended meanwhile fails the test."""

        def seen() -> bool:
            ended = self.process.poll() is not None  # before its last words are read
            if text in self.output():
                return True
            if ended:
                pytest.fail(f"the process ended with {self.process.returncode}:\n{self.output()}")
            return False

        wait_for(seen, f"{text!r} stands in {self.log}", seconds)

    def stop(self) -> int:
        """Stop the process as a supervisor does, and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._file.close()
        return self.process.returncode

    def kill(self) -> None:
        """End the process and its children at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, SIGKILL)
        self.process.wait()
        self._file.close()


StartRole = Callable[..., Role]


@pytest.fixture
def start_role(tmp_path: Path) -> Iterator[StartRole]:
    """Give ``start_role("worker", "-c", "2", CELERY_TASK_TIME_LIMIT="5")``; all end with the test.

    Positional arguments go to the command, keywords into the environment. A worker is returned when
    it is ready to take tasks (or has said *ready*), a beat when it has started. Workers of a test
    see no leftovers of another's: the queues are purged first.
    """
    with ExitStack() as stack:
        count = 0

        def start(name: str, *arguments: str, ready: str = " ready.", **variables: str) -> Role:
            nonlocal count
            count += 1
            heartbeats = tmp_path / f"heartbeat-{count}"
            heartbeats.mkdir()
            env = {
                **os.environ,
                "DATABASE_URL": database_url(),
                "HEARTBEAT_DIR": str(heartbeats),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONUNBUFFERED": "1",
                "CELERY_WORKER_CONCURRENCY": "2",
                **variables,
            }
            role = Role(name, list(arguments), env, tmp_path / f"{name}-{count}.log")
            stack.callback(role.kill)  # a stop takes its time, and has tests of its own
            if name == "worker":
                role.wait_for_line(ready)
            elif name == "beat":
                role.wait_for_line("beat: Starting...")
            return role

        purge_queues()
        yield start


def purge_queues() -> None:
    """Empty the queues that the project's workers take from, and forget what others held."""
    with app.connection_for_write() as broker:
        if broker.transport.driver_type == "redis":
            # What a worker that was killed had taken and not acknowledged; a purge leaves it.
            broker.default_channel.client.delete("unacked", "unacked_index")
        for queue in ("default", "reports", "mail"):
            bound = Queue(queue)(broker.default_channel)
            bound.declare()
            bound.purge()
