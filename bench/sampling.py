"""A profile of a worker's processes by samples, written to the folder BENCH_PROFILE.

Loaded by the worker (CELERY_IMPORTS). Every tick of processor time a signal notes the stack; a
profiler that counts calls would make small functions cost several times as much.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

from celery import signals

#: Seconds of processor time between two samples; the kernel makes it a tick of its own.
EVERY = 0.001
#: The part of a frame by a piece of its file's path, the first that fits.
PARTS = {
    "/bench/": "the task's own code",
    "/psycopg": "psycopg",
    "/durable/database/": "psycopg",
    "/durable/logs/": "log lines",
    "/logging/": "log lines",
    "/durable/journal/": "journal",
    "/durable/results/": "result",
    "/django_celery_results/": "result",
    "/kombu/utils/json": "JSON",
    "/json/": "JSON",
    "/django/": "Django",
    "/billiard/": "pipes between the processes",
    "/celery/concurrency/": "pipes between the processes",
    "/durable/queue/": "queue",
    "/durable/": "queue",
    "/celery/": "Celery",
    "/kombu/": "Celery",
    "/vine/": "Celery",
}
_parts: Counter[str] = Counter()
_lines: Counter[str] = Counter()
_count = 0


def part(frame: FrameType | None) -> str:
    """Return the part of the innermost frame that has one: what it calls beside is its own."""
    while frame is not None:
        name = frame.f_code.co_filename
        for piece, found in PARTS.items():
            if piece in name:
                return found
        frame = frame.f_back
    return "the interpreter"


def _sample(number: int, frame: FrameType | None) -> None:
    global _count
    _parts[part(frame)] += 1
    if frame is not None:
        code = frame.f_code
        _lines[f"{code.co_filename}:{code.co_name}"] += 1
    _count += 1
    if _count % 20 == 0:
        _write()


def _write() -> None:
    path = Path(os.environ["BENCH_PROFILE"], f"{_role}-{os.getpid()}.json")
    path.write_text(json.dumps({"parts": _parts, "lines": _lines}))


_role = "main"


def _begin() -> None:
    signal.signal(signal.SIGPROF, _sample)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)


@signals.worker_ready.connect(weak=False)
def _main(**kwargs: object) -> None:
    _begin()


@signals.worker_process_init.connect(weak=False)
def _process(**kwargs: object) -> None:
    global _role, _count
    _role, _count = "pool", 0
    _parts.clear()
    _lines.clear()
    _begin()
