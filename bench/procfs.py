"""Memory of processes from /proc, in MB (2**20 bytes). Linux only."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def reset_peak(pid: int) -> None:
    """Let the peak of a process begin anew at what it uses now."""
    (PROC / str(pid) / "clear_refs").write_text("5")


def peak(pid: int) -> float:
    """Return the most resident memory that a process had, shared pages included."""
    return _status(pid, "VmHWM")


def resident(pid: int) -> float:
    """Return the resident memory of a process, shared pages included."""
    return _status(pid, "VmRSS")


def children(pid: int) -> list[int]:
    """Return the ids of the child processes of *pid*."""
    found = (PROC / str(pid) / "task").glob("*/children")
    return sorted(int(child) for path in found for child in path.read_text().split())


def _status(pid: int, field: str) -> float:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{field} is missing in /proc/{pid}/status")
