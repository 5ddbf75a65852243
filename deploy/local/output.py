"""Writes what the processes say, each line after the name of its process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

WIDTH = 8
LONGEST_LINE = 64 * 1024  # characters that are held back until their line ends
COLORS = {
    "postgres": 34,
    "valkey": 35,
    "migrate": 33,
    "web": 32,
    "worker": 36,
    "beat": 95,
    "local": 1,
}


def colored() -> bool:
    """Return whether to color: a terminal, and no objection (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def say(name: str, line: str) -> None:
    """Write one line of the process *name*."""
    label = f"{name:<{WIDTH}} |"
    if colored():
        label = f"\033[{COLORS.get(name, 0)}m{label}\033[0m"
    write(f"{label} {line}\n")


def write(text: str) -> None:
    """Write *text*; a terminal that was closed must not keep the stack from stopping."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError):
        # What can't be written now must not be tried again when the interpreter ends.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


class Lines(asyncio.Protocol):
    """Cuts the bytes that come from a pipe into lines and hands them to *take*."""

    def __init__(self, take: Callable[[str], object]) -> None:
        self.take = take
        self.rest = b""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LONGEST_LINE:
            lines, self.rest = [*lines, self.rest], b""
        for line in lines:
            self.take(line.decode(errors="replace").rstrip("\r"))

    def connection_lost(self, error: Exception | None) -> None:
        if self.rest:
            self.take(self.rest.decode(errors="replace"))
        if not self.ended.done():
            self.ended.set_result(None)
