"""A copy of the project in a folder of its own, and its stack, started as a person starts it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

from deploy.local import account, processes

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "deploy" / "local" / "launch.py"
# What a person's shell has; nothing of what conftest.py set for the tests' own Django.
PERSON = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = 90) -> T:
    """Return the first true value of *condition*; fail after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.1)


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def copy_project(to: Path) -> Path:
    """Copy what git knows, and what is new, as a fresh clone has it."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
    )
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


class Checkout:
    """A copy of the project whose ``.venv`` is the one that runs the tests."""

    def __init__(self, path: Path, user: str = "-") -> None:
        """Copy the project to *path*, for the system user *user* (``-``: this one)."""
        self.path = copy_project(path)
        self.local = path / ".local"
        self.user = user
        (path / ".venv").symlink_to(sys.prefix)
        self.home = path / ".home"
        self.home.mkdir()
        if user != "-":
            for one in [path, *path.rglob("*")]:
                os.chown(one, *ids(user), follow_symlinks=False)

    def command(self, *arguments: str) -> list[str]:
        """Return *arguments* as the checkout's user runs them."""
        if self.user == "-":
            return list(arguments)
        reach = account.capability(pwd.getpwnam(self.user), [Path(sys.executable).resolve()])
        return [sys.executable, "-IS", str(LAUNCH), self.user, reach, *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as a person types it in the checkout."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env={**PERSON, "HOME": str(self.home), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @contextmanager
    def stack(self, **variables: str) -> Iterator[Stack]:
        """Start the stack; whatever happens, leave none of its processes."""
        stack = Stack(self, variables)
        try:
            yield stack
        finally:
            stack.stop()
            left = self.processes()
            processes.end(left, signal.SIGTERM, 0)
        assert not left, "the stack left processes behind"

    def processes(self) -> list[psutil.Process]:
        """Return every process of the checkout's stack but the supervisor."""
        return processes.left_behind(self.local)


def ids(user: str) -> tuple[int, int]:
    """Return the numbers of a system user and its group."""
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


class Stack:
    """A running `make run`."""

    def __init__(self, checkout: Checkout, variables: dict[str, str]) -> None:
        self.checkout = checkout
        self.port = int(variables.get("PORT") or free_port())
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            checkout.command("make", "--no-print-directory", "run"),
            cwd=checkout.path,
            env={**PERSON, "HOME": str(checkout.home), "PORT": str(self.port), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def until(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Return the match of *pattern* in the output from line *after* on, once it is there."""

        def look() -> re.Match[str] | None:
            if match := re.search(pattern, "\n".join(self.lines[after:])):
                return match
            assert self.process.poll() is None, f"the stack ended:\n{self.output}"
            return None

        try:
            return wait_for(look, f"the output has {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def until_ready(self) -> Stack:
        """Wait until it says that it is ready."""
        self.until(r"(?m)^  Ready +http")
        return self

    @property
    def supervisor(self) -> psutil.Process:
        """The process below make, or make's own place when it was replaced."""
        main = psutil.Process(self.process.pid)
        return next((p for p in main.children() if "deploy.local" in p.cmdline()), main)

    def role(self, name: str) -> psutil.Process:
        """Return the parent process of a role or server; it is a child of the supervisor."""

        def find() -> psutil.Process | None:
            for process in self.supervisor.children():
                words = " ".join(process.cmdline())
                if {
                    "web": "gunicorn",
                    "worker": "proj worker",
                    "beat": "proj beat",
                    "valkey": "valkey-server",
                    "postgres": "postgres -D",
                }[name] in words:
                    return process
            return None

        return wait_for(find, f"{name} runs")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to make alone, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=90)
        self._reader.join(timeout=10)
        return status
