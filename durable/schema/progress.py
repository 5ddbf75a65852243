"""Waiting, said aloud: what for, and for how long already."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator

#: Seconds. It is started again then, and reads the password anew, which may have changed.
WAIT = 300.0


class Progress:
    """Says what is waited for: at once when it changes, and again every *every* seconds.

    :param say: takes a line.
    :param limit: seconds after which :meth:`rounds` ends.
    """

    def __init__(self, say: Callable[[str], object], limit: float, every: float = 15.0) -> None:
        self._say = say
        self._limit = limit
        self._every = every
        self._started = time.monotonic()
        self._said_at = 0.0
        self._last = ""

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def rounds(self, pause: float) -> Iterator[None]:
        """Yield until the limit is over, with *pause* seconds between two."""
        while True:
            yield
            if self.seconds + pause > self._limit:
                return
            time.sleep(pause)

    def wait(self, what: str) -> None:
        """Remember that *what* is waited for, and say so if it is time."""
        now = time.monotonic()
        if what == self._last and now - self._said_at < self._every:
            return
        self._last, self._said_at = what, now
        self._say(f"{self.seconds:4.0f} s: waiting for {what}")

    @property
    def last(self) -> str:
        """Return what was waited for last."""
        return self._last


def add_wait_option(parser: ArgumentParser) -> None:
    """Give a command ``--wait``: the limit of its :class:`Progress`, in seconds."""
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT,
        metavar="SECONDS",
        help="fail when it isn't so by then (%(default)s)",
    )
