"""Starts the stack, keeps it running, stops it: ``.venv/bin/python -m deploy.local``."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from durable.environment.reader import load_env_files

from . import processes
from .errors import StackError
from .folder import Folder
from .guard import Guard
from .output import say, write
from .stack import ROOT, Stack


def wanted_port() -> int:
    """Return the port from ``PORT`` and check that it is free.

    :raises StackError: with what to type instead.
    """
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StackError(f"PORT={text!r}: expected a number from 1 to 65535: make run PORT=8001")
    port = int(text)
    try:
        bind(port)
    except PermissionError as error:
        raise StackError(
            f"port {port} is for root alone; type: make run PORT={other_port(8000)}"
        ) from error
    except OSError as error:
        who = processes.listener(port)
        raise StackError(
            f"port {port} is taken{f' ({who})' if who else ''}; type: "
            f"make run PORT={other_port(port)}"
        ) from error
    return port


def bind(port: int) -> None:
    """Bind *port* as gunicorn will, and let it go."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def other_port(taken: int) -> int:
    """Return the next free port after *taken*."""
    for port in range(taken + 1, min(taken + 100, 65536)):
        try:
            bind(port)
        except OSError:
            continue
        return port
    return 8001


async def main(stack: Stack) -> int:
    """Run the stack until a signal; return the exit status."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            say("local", "stopping at once")
            stack.force()
        else:
            asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask)
    status = 0
    starting = asyncio.create_task(stack.start())
    waiting = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await waiting
    except StackError as error:
        say("local", f"{error}")
        status = 1
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    say("local", "stopping" if status else "stopping; once more to stop at once")
    await stack.stop()
    say("local", "stopped")
    return status


def run() -> int:
    """Check what can be checked before anything starts, then run."""
    folder = Folder(ROOT / ".local")
    try:
        load_env_files(ROOT / ".env")
        folder.open()
        if lost := processes.left_behind(folder.path):
            say("local", f"ending {len(lost)} processes that an earlier run left behind")
            processes.end_in_order(folder.path)
        stack = Stack(folder, wanted_port())
        stack.configure()
    except StackError as error:
        write(f"{error}\n")
        return 1
    guard = Guard(folder, ROOT)
    status = asyncio.run(main(stack))
    guard.dismiss()
    return status


if __name__ == "__main__":
    sys.exit(run())
