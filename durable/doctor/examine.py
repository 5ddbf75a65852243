"""Asks all parts at once, each within a time of its own: half a stack that is down is a line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module

from django.apps import apps
from django.db import connections

from durable.database.session import reason
from durable.discovery import load_tasks

from .line import Level, Line

#: Seconds that a part may take.
LIMIT = 8.0

#: The parts in the order of their lines: the module in `parts/`, and the app without which there is
#: nothing to ask.
PARTS = (
    ("versions", ""),
    ("settings", "durable.checks"),
    ("database", ""),
    ("schema", "durable.schema"),
    ("broker", ""),
    ("queue", "durable.queue"),
    ("tasks", "durable.contracts"),
    ("schedules", "durable.schedules"),
    ("backup", "durable.backups"),
    ("certificate", ""),
    ("disk", ""),
)

Ask = Callable[[], Iterable[Line]]


class _Part(threading.Thread):
    """One part, in a thread that is left behind when its time is over."""

    def __init__(self, name: str, ask: Ask) -> None:
        super().__init__(name=f"doctor-{name}", daemon=True)
        self.part, self._ask = name, ask
        self.lines: list[Line] | None = None

    def run(self) -> None:
        try:
            self.lines = list(self._ask())
        except Exception as error:
            why = f"can't be asked: {reason(error)}"
            self.lines = [Line(self.part, "", Level.FAIL, why, _ADVICE.get(self.part, _START))]
        finally:
            connections.close_all()


_START = "see the lines above; if there is none that explains it, the logs"
_ADVICE = {
    "database": "start PostgreSQL, or correct DATABASE_URL",
    "broker": "start Redis, or correct CELERY_BROKER_URL; durable tasks go on without it",
}


def examine(limit: float = LIMIT, only: Iterable[str] = ()) -> list[Line]:
    """Return the lines of all parts; it takes *limit* seconds at most.

    :param only: the names of some parts.
    """
    wanted = set(only)
    threads = [
        _Part(name, import_module(f"{__package__}.parts.{name}").lines)
        for name, app in PARTS
        if (not app or apps.is_installed(app)) and (not wanted or name in wanted)
    ]
    # Before the threads: Python 3.11 can't parse source in two at once, as some checks do.
    load_tasks()
    end = time.monotonic() + limit
    for thread in threads:
        thread.start()
    found: list[Line] = []
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
        slow = Line(thread.part, "", Level.FAIL, f"no answer within {limit:g} s",
                    _ADVICE.get(thread.part, _START))  # fmt: skip
        found += thread.lines if thread.lines is not None else [slow]
    return found
