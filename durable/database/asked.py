"""An answer that may take long, asked by a thread: no page waits for one that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from django.utils import timezone

T = TypeVar("T")


class Asked(Generic[T]):
    """The last answer of *ask*, which must not raise.

    :param keep: seconds that an answer is good for.
    :param patience: seconds that a page waits for a new one.
    """

    def __init__(self, ask: Callable[[], T], keep: float, patience: float) -> None:
        self._ask, self._keep, self._patience = ask, keep, patience
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._at = float("-inf")
        self._answer: T | None = None

    def read(self) -> tuple[T | None, bool]:
        """Return the last answer, ``None`` before the first, and whether a new one is overdue."""
        with self._lock:
            if self._thread is None and time.monotonic() - self._at > self._keep:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(self._patience)
        return self._answer, thread is not None and thread.is_alive()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        finally:
            with self._lock:
                self._at, self._thread = time.monotonic(), None


class Since:
    """Since when something is as it is, as far as this process has looked."""

    def __init__(self) -> None:
        self._last: tuple[object, datetime] | None = None

    def of(self, state: object) -> datetime:
        """Return when *state*, which it is in now, was first seen without another one since."""
        if self._last is None or self._last[0] != state:
            self._last = state, timezone.now()
        return self._last[1]
