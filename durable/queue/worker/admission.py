"""When a worker lets rows with a key in line: as soon as a place is free, and now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import conf, places, store

#: Seconds between two looks that a rate asks for, at least.
SOONEST = 0.02


class Admission:
    """Looks for rows with a key that may stand in line; costs nothing where there are none.

    :param queues: returns the names of the queues that the worker takes from now.
    :param known: the names of its tasks.
    """

    def __init__(self, queues: Callable[[], Iterable[str]], known: Sequence[str] | None) -> None:
        self._queues, self._known = queues, known
        self._keys: set[str] = set()  # whose places have become free
        self._after = ""
        self._all_at = 0.0
        self._waits = False  # rows do, for all that is known

    @property
    def at(self) -> float:
        """When to look next, by the monotonic clock."""
        return 0.0 if self._keys else self._all_at

    def called(self) -> None:
        """Look at all keys: a row with one was called, or may have been."""
        self._all_at = 0.0

    def ended(self, keys: Iterable[Any]) -> None:
        """Look at the keys of rows that this worker has ended; ``None`` is a row without one."""
        self._keys.update(key for key in keys if key)

    def look(self) -> bool:
        """Let rows in line that may stand there; return whether there were any."""
        now = time.monotonic()
        every = now >= self._all_at
        keys = set()
        while self._keys:
            keys.add(self._keys.pop())
        if not (every or self._waits):  # nothing that is known waits for them
            return False
        if every:
            self._all_at = float("inf")  # a call in between sets it again
            found = places.admit(self._queues(), after=self._after, known=self._known)
            self._after, self._waits = found.after, found.keys > 0 or bool(self._after)
            pause = 0.0 if self._after else conf.get("POLL") if found.keys else float("inf")
        else:
            found, pause = places.admit(self._queues(), keys, known=self._known), float("inf")
        if found.seconds is not None:
            pause = min(pause, max(SOONEST, found.seconds))
        self._all_at = min(self._all_at, time.monotonic() + pause)
        if found.lanes:
            store.notify(found.lanes)
        return bool(found.lanes)
