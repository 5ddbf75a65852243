"""One round of one peer: the queue is filled, its worker is started, and the database counts."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from django.db import connection
from redis import Redis

from bench.peers.contestants import Contestant
from bench.peers.environment import ROOT, programs
from tests.fixtures_worker import Role

TASKS = ("effect", "nothing")
#: Tasks of a round, at least.
LEAST = 200
#: So many of the tasks that do nothing write a row.
MARKS = 50
#: Until then processes start, and nothing is measured.
WARM = 0.2
#: What the peers put into PostgreSQL, by the beginning of the name.
TABLES = (
    *("bench_effect", "durable_task", "pgqueuer", "procrastinate", "django_tasks"),
    "django_celery_results",
)
#: The middle of the work: since a share of the rows was there, on the database's clock.
RATE = """
    WITH ranked AS (SELECT at, row_number() OVER (ORDER BY at) AS rank FROM bench_effect)
    SELECT (max(rank) - min(rank)) / extract(epoch FROM max(at) - min(at))::float
    FROM ranked WHERE rank >= %s"""


def environment(contestant: Contestant) -> dict[str, str]:
    """Return the environment of a peer's processes."""
    return {
        **os.environ,
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": contestant.settings,
        **contestant.env,
    }


def caller(contestant: Contestant, *words: object) -> str:
    """Run bench.peers.fill in the peer's environment, and return what it prints."""
    return subprocess.run(
        ["python", "-m", "bench.peers.fill", contestant.adapter, *map(str, words)],
        cwd=ROOT,
        env=environment(contestant),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    ).stdout


def clear() -> None:
    """Leave nothing of an earlier round, and nothing for PostgreSQL to do."""
    Redis.from_url(os.environ["BROKER_ADMIN_URL"]).flushall()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%%I', tablename) FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename LIKE ANY(%s)",
            [[f"{name}%" for name in TABLES]],
        )
        cursor.execute(f"TRUNCATE {', '.join(name for (name,) in cursor.fetchall())} CASCADE")
        cursor.execute("CHECKPOINT")


def processor_time(processes: list[psutil.Process]) -> float:
    """Return the seconds that the processes, their descendants and PostgreSQL have used."""
    tree = [*processes, *servers()]
    for process in list(tree):
        tree += process.children(recursive=True)
    seconds = 0.0
    for process in tree:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its parent counts it now
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def servers() -> list[psutil.Process]:
    """Return PostgreSQL's main process and the broker's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postgres = psutil.Process(cursor.fetchone()[0]).parent()
    assert postgres is not None
    broker = Redis.from_url(os.environ["CELERY_BROKER_URL"]).info("server")["process_id"]
    return [postgres, psutil.Process(broker)]


def written() -> int:
    """Return how many rows the tasks have written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bench_effect")
        return int(cursor.fetchone()[0])


def calls(contestant: Contestant, one: int, many: int) -> dict[str, float]:
    """Return the calls a second: *one* by one, and *many* times 1,000 at once."""
    clear()
    found: dict[str, float] = json.loads(caller(contestant, "rates", one, many))
    return found


def work(contestant: Contestant, task: str, seconds: float, folder: Path) -> dict[str, float]:
    """Let the peer work; return tasks a second, and milliseconds of processor time for each."""
    clear()
    pace = dict(zip(TASKS, contestant.pace, strict=True))[task]
    count = max(LEAST, int(pace * seconds))
    caller(contestant, task, count, MARKS)
    rows = count if task == "effect" else len(range(0, count, max(1, count // MARKS)))
    begun = int(rows * WARM)
    name, *arguments = contestant.command
    with ExitStack() as stack:
        roles = []
        for number in range(contestant.processes):
            log = folder / f"{number}.log"
            roles.append(Role(name, arguments, environment(contestant), log))
            stack.callback(roles[-1].stop)
        processes = [psutil.Process(role.process.pid) for role in roles]
        before: tuple[int, float] | None = None
        end = time.monotonic() + 60 + 10 * seconds
        while (number := written()) < rows:
            if before is None and number >= begun:
                before = number, processor_time(processes)
            ended = [role for role in roles if role.process.poll() is not None]
            if ended or time.monotonic() > end:
                said = (ended or roles)[0].output()[-3000:]
                raise SystemExit(f"{contestant.name}: {number} of {rows} rows:\n{said}")
            time.sleep(0.05)
        spent = processor_time(processes) - before[1] if before else float("nan")
        each = count / rows
        measured = (rows - before[0]) * each if before else 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT label) FROM bench_effect")
        assert cursor.fetchone()[0] == written() == rows
        cursor.execute(RATE, [begun])
        rate = float(cursor.fetchone()[0]) * each
    return {task: rate, f"{task} ms": 1000 * spent / measured}
