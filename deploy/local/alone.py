"""Runs a command with PostgreSQL and without the roles: ``python -m deploy.local.alone COMMAND``.

For a restore, during which no role may be connected (deploy/local/backup), and for a dump while
`make run` doesn't run. It holds the folder's lock as `make run` does, so the two never meet. The
command finds DATABASE_URL in its environment; if that leads to a server of a person's own, none is
started.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from urllib.parse import urlsplit

from . import processes
from .errors import StackError
from .folder import Folder
from .output import write
from .postgres import Postgres
from .stack import ROOT, Stack


async def beside(stack: Stack, server: Postgres, command: list[str]) -> int:
    """Start *server*, run *command* to its end, stop *server*; return the command's exit status.

    A signal ends the command, which cleans up after itself, and then the server.

    :raises StackError: the server doesn't start.
    """
    running: asyncio.subprocess.Process | None = None
    this = asyncio.current_task()
    assert this is not None  # noqa: S101 - a coroutine runs in one

    def end() -> None:
        if running is None:
            this.cancel()
        elif running.returncode is None:
            running.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end)
    stack.servers.append(server)
    try:
        await stack.start_server(server)
        running = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        status = await running.wait()
        return status if status >= 0 else 128 - status  # as a shell says it of a signal
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    finally:
        await stack.stop()


def main(command: list[str]) -> int:
    """Run *command*; return its exit status."""
    folder = Folder(ROOT / ".local")
    try:
        folder.open()
        folder.note("a backup or a restore")
        processes.end_in_order(folder.path)  # what a run that was killed has left behind
        os.environ[processes.MARK] = str(folder.path)
        kept = ("PATH", "HOME", "TMPDIR", processes.MARK)
        bare = {name: os.environ[name] for name in kept if name in os.environ}
        server = Postgres(folder, bare, ROOT)
        user = urlsplit(url := os.environ.get("DATABASE_URL", "")).username or ""
        if user not in server.passwords or not url.startswith(
            server.url(user=user).partition("?")[0]
        ):
            os.set_inheritable(folder.lock_fd, True)
            os.execvp(command[0], command)  # noqa: S606 - the command is what this was asked to run
        os.environ["DATABASE_URL"] = server.url(user=user)
        return asyncio.run(beside(Stack(folder, 0), server, command))
    except StackError as error:
        write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
