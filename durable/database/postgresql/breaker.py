"""Lets one at a time wait for something that was away a moment ago; the others fail at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds after a failure in which none tries.
PAUSE = 1.0


class Breaker:
    """Remembers a failure until the next success.

    :param patience: seconds for which one try may wait; after it the next one may begin.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._away = False
        self._next = 0.0

    def may_try(self) -> bool:
        """Return whether the caller may try, and has to report what comes of it."""
        with self._lock:
            if not self._away:
                return True
            if self._clock() < self._next:
                return False
            self._next = self._clock() + self._patience
            return True

    def failed(self) -> None:
        """Report that it is away."""
        with self._lock:
            self._away, self._next = True, self._clock() + PAUSE

    def succeeded(self) -> None:
        """Report that it is there."""
        self._away = False
