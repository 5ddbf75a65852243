"""The stack's folder, `.local`: its lock, its generated secrets, the environment it writes.

| file | what |
| --- | --- |
| env | the variables that settings.py reads, so that commands typed by hand find the stack |
| admin-password | the first admin's password |
| secrets/ | what was generated at the first start |
| postgres/, valkey/ | the servers' data |
| run/ | heartbeats; the sockets |
| mail/ | the mail that was sent |
| backups/ | dumps (make backup) |
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import IO

import psutil

from .errors import StackError
from .output import say

ENV_HEADER = """\
# Written by `make run` at each start; proj/settings.py reads it, so that commands typed by hand
# (.venv/bin/celery -A proj inspect ping) find the stack. What the environment or .env says wins.
"""
OWN = {"deploy.local", "deploy.local.alone"}  # modules that hold the lock
STOP_AT_MOST = 150.0  # seconds that all the grace periods take together


def supervises(pid: int) -> bool:
    """Return whether the process *pid* is a stack's own, and not one that has its number now."""
    try:
        return not OWN.isdisjoint(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


class Folder:
    """`.local` below the project."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Create the folder and lock it for this process.

        :raises StackError: it is another user's, or another stack runs in it.
        """
        try:
            self.path.mkdir(exist_ok=True)
            owner = self.path.stat().st_uid
            if owner != os.geteuid():
                raise StackError(
                    f"{self.path} belongs to user {owner}, and this is user {os.geteuid()}: run it "
                    f"as that user, or give it to this one (sudo chown -R {os.geteuid()} "
                    f"{self.path}), or remove it together with its data"
                )
            # As root, PostgreSQL runs as another user, who must pass through.
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self._lock = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise StackError(f"{error.filename}: {error.strerror}") from error
        self._take_lock()
        self.note("")

    def _take_lock(self) -> None:
        deadline = time.monotonic() + STOP_AT_MOST
        told = False
        while True:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                assert self._lock is not None  # noqa: S101 - open() came first
                self._lock.seek(0)
                holder, _, address = self._lock.read().strip().partition(" ")
                # Without its supervisor, it is the guard that holds the lock while it stops all.
                if supervises(int(holder or 0)) or time.monotonic() > deadline:
                    raise StackError(
                        f"this stack is running already ({address or 'starting'}, process "
                        f"{holder}): use it, or stop it by Ctrl-C in its terminal (or: kill "
                        f"{holder})"
                    ) from error
            if not told:
                say("local", "waiting until a run that was killed has stopped")
                told = True
            time.sleep(0.2)

    @property
    def lock_fd(self) -> int:
        """The file descriptor that holds the lock; a process that inherits it holds it too."""
        assert self._lock is not None  # noqa: S101 - open() came first
        return self._lock.fileno()

    def note(self, address: str) -> None:
        """Leave the address of the stack for a process that finds the folder locked."""
        assert self._lock is not None  # noqa: S101 - open() came first
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()} {address}\n")
        self._lock.flush()

    def sub(self, *names: str) -> Path:
        """Return a folder in it, created where it is missing, for this user alone."""
        path = self.path.joinpath(*names)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def write(self, name: str, text: str) -> Path:
        """Write a file that only this user reads, in one step: a crash leaves the old one."""
        path = self.path / name
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        return path

    def secret(self, name: str, bytes_: int = 32) -> str:
        """Return the secret *name*, generated at the first call and kept."""
        path = self.sub("secrets") / name
        if not path.is_file():
            self.write(f"secrets/{name}", secrets.token_urlsafe(bytes_) + "\n")
        return path.read_text(encoding="utf-8").strip()

    def write_env(self, variables: dict[str, str]) -> None:
        """Write the file `env`."""
        lines = "".join(f"{name}={value}\n" for name, value in variables.items())
        self.write("env", ENV_HEADER + lines)
