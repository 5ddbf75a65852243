"""Finds the processes of a stack and ends them, when their supervisor can't.

Every process of the stack carries the path of its data folder in its environment, and so do
their children, whatever session they are in. The servers overwrite their environment with their
status line; their processes are known by their working directory, the data.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from durable.environment.reader import Reader

MARK = "LOCAL_STACK"
SERVERS = ("valkey-server", "postgres")
# Seconds between a stop signal and SIGKILL, as in compose.yaml.
GRACE = {"web": 40.0, "beat": 15.0, "migrate": 15.0}


def grace(role: str) -> float:
    """Return the seconds between a stop signal and SIGKILL for *role*."""
    if role == "worker":
        return float(Reader().integer("WORKER_GRACE_PERIOD", 70, least=1))
    return GRACE[role]


def belongs(process: psutil.Process, folder: Path) -> bool:
    """Return whether *process* is one of the stack whose data are in *folder*."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(MARK) == str(folder):
            return True
        return process.name() in SERVERS and folder in Path(process.cwd()).parents
    except (psutil.Error, OSError):
        return False  # another user's, or gone


def left_behind(folder: Path) -> list[psutil.Process]:
    """Return the living processes of the stack in *folder*."""
    return [process for process in psutil.process_iter() if belongs(process, folder)]


def end(processes: Iterable[psutil.Process], number: int, patience: float) -> None:
    """Send a signal to those that lead a session, SIGKILL to all that live *patience* s later.

    The leaders are the parents: a signal to a worker's children would end their tasks.
    """
    alive = list(processes)
    for process in alive:
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == process.pid:
                process.send_signal(number)
    _, alive = psutil.wait_procs(alive, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=10)


def end_in_order(folder: Path) -> None:
    """End the stack in *folder* as its supervisor does: roles, then broker, then database."""

    def named(*names: str) -> list[psutil.Process]:
        found = []
        for process in left_behind(folder):
            with contextlib.suppress(psutil.Error):
                kind = process.name() if process.name() in SERVERS else "role"
                if kind in names:
                    found.append(process)
        return found

    end(named("role"), signal.SIGTERM, max(grace("worker"), *GRACE.values()))
    end(named("valkey-server"), signal.SIGTERM, 20)
    end(named("postgres"), signal.SIGINT, 30)  # fast shutdown


def listener(port: int) -> str:
    """Name the process that listens on TCP *port*, as far as this user may see it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()}, process {connection.pid}"
    return ""
