"""The clock of a test: the system's until it is moved.

time-machine moves it for all of Python. PostgreSQL's stays as it is, so ``Tasks`` compares times
here and not there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone


class Clock:
    """The time of this process."""

    def __init__(self) -> None:
        self._travel: Any = None
        self._at: Any = None

    def move(self, to: datetime, *, tick: bool = True) -> None:
        """Set the clock.

        :param tick: it goes on from there.
        :raises ImportError: time-machine is not installed.
        """
        if timezone.is_naive(to):
            to = timezone.make_aware(to)
        to = to.astimezone(UTC)  # of another zone, time-machine would make the process' own
        if self._at is not None:
            self._at.move_to(to, tick=tick)
            self.is_frozen = not tick
            return
        try:
            import time_machine
        except ImportError as error:
            raise ImportError(
                "a test's clock is moved by time-machine, which is not installed: "
                "pip install time-machine"
            ) from error
        self._travel = time_machine.travel(to, tick=tick)
        self._at = self._travel.start()
        self.is_frozen = not tick

    is_frozen = False

    def reach(self, moment: datetime) -> None:
        """Let time pass until *moment*, if that is still to come."""
        if moment > timezone.now():
            self.move(moment, tick=not self.is_frozen)

    def ahead(self) -> timedelta:
        """Return how far the clock is ahead of PostgreSQL's."""
        if self._at is None:
            return timedelta()
        from time_machine import escape_hatch

        return timezone.now() - escape_hatch.datetime.datetime.now(tz=UTC)

    def stop(self) -> None:
        """Give the system's time back."""
        if self._travel is not None:
            self._travel.stop()
        self._travel = self._at = None
        self.is_frozen = False


def moment(value: datetime | timedelta) -> datetime:
    """Return a time, or one from now on, as an aware time."""
    if isinstance(value, timedelta):
        return timezone.now() + value
    return timezone.make_aware(value) if timezone.is_naive(value) else value
