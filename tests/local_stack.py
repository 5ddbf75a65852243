"""A copy of the project in a folder of its own, and its stack, started as a person starts it."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import psutil

from deploy.local import account, processes

from .ports import free_port
from .tree import files
from .users import USERS

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
CELERY, MANAGE = ".venv/bin/celery", (".venv/bin/python", "manage.py")
LAUNCH = ROOT / "deploy" / "local" / "launch.py"
# What a person's shell has; nothing of what conftest.py set for the tests' own Django.
PERSON = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = 240) -> T:
    """Return the first true value of *condition*; fail after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() > end  # before it is asked: this process may have stood still
        if value := condition():
            return value
        if late:
            raise AssertionError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.1)


NO_WORDS: list[str] = []


def each(ask: Callable[[], T], gone: T) -> T:
    """Return what a process says of itself, or *gone*: one that was listed may have ended since."""
    try:
        return ask()
    except psutil.Error:
        return gone


def copy_project(to: Path) -> Path:
    """Copy what git knows, and what is new, as a fresh clone has it."""
    for name in files():
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
            entry = pwd.getpwnam(user)
            for one in [path, *path.rglob("*")]:
                os.chown(one, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

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
            timeout=600,
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
            ended = self.process.poll() is not None and not self._reader.is_alive()
            if match := re.search(pattern, "\n".join(self.lines[after:])):
                return match
            assert not ended, f"the stack ended:\n{self.output}"
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
        return next(
            (p for p in main.children() if "deploy.local" in each(p.cmdline, NO_WORDS)), main
        )

    def role(self, name: str) -> psutil.Process:
        """Return the parent process of a role or server; it is a child of the supervisor."""

        def find() -> psutil.Process | None:
            for process in self.supervisor.children():
                words = " ".join(each(process.cmdline, NO_WORDS))
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
        return self.ended()

    def ended(self) -> int:
        """Wait until it has ended and all that it wrote is read; return the exit status."""
        status = self.process.wait(timeout=240)
        self._reader.join(timeout=60)
        return status


def status(stack: Stack, path: str = "/readyz") -> int:
    try:
        with urlopen(f"http://127.0.0.1:{stack.port}{path}", timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def orm(checkout: Checkout, code: str) -> str:
    """Run *code* in Django's shell, by hand, and return the last line that it prints."""
    done = checkout.run(*MANAGE, "shell", "--no-imports", "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr
    return (done.stdout.splitlines() or [""])[-1]


def can_log_in(stack: Stack, name: str, password: str) -> bool:
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    address = f"http://127.0.0.1:{stack.port}/admin/login/?next=/admin/"
    page = browser.open(address, timeout=60).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"csrfmiddlewaretoken": token[1], "username": name, "password": password}
    answer = browser.open(address, urlencode(form).encode(), timeout=60)
    return bool(urlsplit(answer.url).path == "/admin/")


def broker_port(checkout: Checkout) -> int:
    return int((checkout.local / "valkey" / "port").read_text())


def pings(checkout: Checkout) -> bool:
    """Wait until a worker answers; the command gives it a second, which may be too short."""
    command = (CELERY, "-A", "proj", "inspect", "ping")
    return wait_for(lambda: "pong" in checkout.run(*command).stdout, "a worker answers a ping")


def runs_a_task(stack: Stack, checkout: Checkout) -> None:
    """Send a task by hand and wait until the worker has run it."""
    send = "from proj.celery import debug_task; print(debug_task.delay().id)"
    task = orm(checkout, send)
    stack.until(rf"Task proj\.celery\.debug_task\[{task}\] succeeded")


def names(checkout: Checkout) -> list[str]:
    users = "User.objects.order_by('username').values_list('username', flat=True)"
    return list(json.loads(orm(checkout, f"{USERS}import json; print(json.dumps([*{users}]))")))
