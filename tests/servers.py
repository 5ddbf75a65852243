"""The servers of a test run: PostgreSQL and Valkey as `make run` has them, but temporary."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from deploy.local.folder import Folder
from deploy.local.postgres import Postgres
from deploy.local.supervisor import Program
from deploy.local.valkey import Valkey
from tests.ports import free_port


def dying_with_us(number: signal.Signals) -> list[str]:
    """Return the beginning of a command that gets *number* when its parent is gone.

    A test run that is killed then leaves nothing behind (util-linux; elsewhere it may).
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", number.name[3:]] if setpriv else []


def temporary_folder() -> Path:
    """Return a folder that is removed at the end; a server's own user may pass through it."""
    folder = Path(tempfile.mkdtemp(prefix="proj-tests-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start_postgres(folder: Path, *options: str) -> str:
    """Start PostgreSQL below *folder* until the process ends; return its URL.

    :param options: settings such as ``fsync=off``.
    """
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    postgres = Postgres(Folder(folder), env, folder)
    asyncio.run(postgres.prepare())
    arguments = [part for option in options for part in ("-c", option)]
    _start(postgres.service.program, arguments, folder, postgres.why_not_ready)
    return postgres.url(user="postgres")  # tests make roles and databases of their own


def start_valkey(folder: Path) -> str:
    """Start Valkey below *folder* until the process ends; return its URL.

    Its password is its own: on the port of an earlier run, no process that it left behind can
    take this run's messages. The URL of its admin, for what Celery may not do, is in
    ``BROKER_ADMIN_URL``.
    """
    own = Folder(folder)
    own.sub("valkey")
    # Until it listens, no other process of the run and no connection takes it.
    own.write("valkey/port", f"{free_port()}\n")
    valkey = Valkey(own, {}, folder)
    _start(valkey.service.program, [], folder, valkey.why_not_ready)
    os.environ["BROKER_ADMIN_URL"] = valkey.url_of("admin", "password")
    return valkey.url


def _start(
    program: Program,
    arguments: list[str],
    folder: Path,
    why_not_ready: Callable[[], Awaitable[str]],
) -> None:
    log = folder / f"{program.name}.log"
    process = subprocess.Popen(
        [*program.launch, *dying_with_us(program.stop_signal), *program.command, *arguments],
        env=dict(program.env),
        cwd=program.cwd,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for pytest, which then stops this one
    )
    atexit.register(_stop, process, program.stop_signal)
    end = time.monotonic() + 240
    while why := asyncio.run(_answer(why_not_ready)):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{program.name}: {why}\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


async def _answer(why_not_ready: Callable[[], Awaitable[str]]) -> str:
    return await why_not_ready()


def _stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
