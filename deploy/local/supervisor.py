"""Keeps one process running.

Why not a library: honcho ends everything when one process ends, but a Celery worker whose broker
dies is meant to exit and be started again; supervisor and circus send their stop signals, and
Ctrl-C in a terminal, to places where prefork children get them too, and circus brings ZeroMQ and
Tornado along.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .output import Lines, say

# A process that ran for so long (seconds) is started again at once when it ends; one that ends
# sooner, a little later each time.
STEADY = 10.0
LONGEST_PAUSE = 15.0  # seconds


def ending(status: int) -> str:
    """Say how a process ended."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


@dataclass
class Program:
    """A program to run, and how to end it."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0  # seconds between stop_signal and SIGKILL
    launch: Sequence[str] = ()  # goes before the command: as whom to run it


async def start(
    program: Program, take: Callable[[str], object] | None = None
) -> tuple[asyncio.subprocess.Process, Lines]:
    """Start *program*, its lines going to *take* or to the terminal.

    It is in a session of its own: Ctrl-C in the terminal is for this process alone.

    Its output is a pipe of ours and not asyncio's, whose ``wait()`` would wait for grandchildren
    that hold the pipe open (cpython#119710).
    """
    reading, writing = os.pipe()
    pipe, lines = await asyncio.get_running_loop().connect_read_pipe(
        lambda: Lines(take or partial(say, program.name)), os.fdopen(reading, "rb", 0)
    )
    try:
        # Cancelled here, asyncio kills what it has begun; there is no await after it.
        process = await asyncio.create_subprocess_exec(
            *program.launch,
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            cwd=program.cwd,
            env=dict(program.env),
            start_new_session=True,
        )
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(writing)
    return process, lines


def end_group(pid: int) -> None:
    """Kill what is left of the session that *pid* led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def run_once(program: Program, take: Callable[[str], object] | None = None) -> int:
    """Run *program* to its end and return its status; cancelled, it is stopped."""
    process, lines = await start(program, take)
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(program.stop_signal)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), program.grace)
        end_group(process.pid)
        await process.wait()
        raise
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(lines.ended, 1)
    return status


@dataclass
class Service:
    """A program that is started again whenever it ends, until it is stopped."""

    program: Program
    ends: int = 0  # how often it ended by itself
    process: asyncio.subprocess.Process | None = None
    _task: asyncio.Task[None] | None = None
    _stopping: bool = False
    _kill: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return self.program.name

    def begin(self) -> None:
        """Start it; returns at once."""
        self._task = asyncio.create_task(self._keep(), name=self.name)

    async def _keep(self) -> None:
        short_lives = 0
        while not self._stopping:
            begun = time.monotonic()
            try:
                self.process, lines = await start(self.program)
            except OSError as error:  # no memory, no file descriptor
                how = f"could not be started ({error.strerror})"
            else:
                status = await self.process.wait()
                end_group(self.process.pid)  # children of a parent that crashed
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(lines.ended, 1)
                how = ending(status)
            if self._stopping:
                return
            self.ends += 1
            short_lives = 0 if time.monotonic() - begun >= STEADY else short_lives + 1
            pause = min(0.25 * 2**short_lives, LONGEST_PAUSE)
            say("local", f"{self.name} {how}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)

    async def stop(self) -> None:
        """Stop it: its stop signal to the parent process alone, SIGKILL to all after the grace.

        A signal to the whole group would end a worker's children in the middle of their tasks.
        """
        self._stopping = True
        if self._task is None:
            return
        process = self.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.program.stop_signal)
            ended = asyncio.create_task(process.wait())
            killed = asyncio.create_task(self._kill.wait())
            await asyncio.wait(
                {ended, killed}, timeout=self.program.grace, return_when=asyncio.FIRST_COMPLETED
            )
            killed.cancel()
            if not ended.done():
                why = "as told" if self._kill.is_set() else f"after {self.program.grace:g} s"
                say("local", f"{self.name} is killed {why}")
            end_group(process.pid)
            await ended
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def kill(self) -> None:
        """Cut short the grace of a stop() that is under way or to come."""
        self._kill.set()
