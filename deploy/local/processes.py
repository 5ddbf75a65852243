"""Finds processes of this stack that an earlier run left behind, and ends them.

Every process of the stack carries the path of its data folder in its environment, and so do
their children, whatever session they are in. PostgreSQL overwrites its environment with its
status line; its processes are known by their working directory, the data folder.
"""

from __future__ import annotations

from pathlib import Path

import psutil

MARK = "LOCAL_STACK"


def belongs(process: psutil.Process, folder: Path) -> bool:
    """Tell whether *process* is one of the stack whose data are in *folder*."""
    try:
        if process.environ().get(MARK) == str(folder):
            return True
        return process.name() == "postgres" and folder in Path(process.cwd()).parents
    except (psutil.Error, OSError):
        return False  # another user's, or gone


def left_behind(folder: Path) -> list[psutil.Process]:
    """Return the living processes of the stack in *folder*."""
    return [process for process in psutil.process_iter() if belongs(process, folder)]


def end(processes: list[psutil.Process], patience: float) -> None:
    """Send SIGTERM, and SIGKILL to what still lives after *patience* seconds."""
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=5)


def listener(port: int) -> str:
    """Name the process that listens on TCP *port*, as far as this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()}, process {connection.pid}"
    except (psutil.Error, OSError):
        pass
    return ""
