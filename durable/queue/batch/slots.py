"""The processes as their supervisor sees them: memory that both share, and no lock."""

from __future__ import annotations

import mmap
import time
from ctypes import Structure, c_double, c_longlong, sizeof


class Slot(Structure):
    """One process, as it writes it and as its supervisor reads it.

    A reader may see half of a change, and decides nothing by one look: times are compared in steps
    of a second, and what has ended is decided by the row.
    """

    #: When it last looked for rows; when its task began, its hard limit, its row, its attempt.
    _fields_ = [
        ("seen_at", c_double), ("began", c_double), ("limit", c_double),
        ("row_id", c_longlong), ("attempt", c_longlong),
    ]  # fmt: skip

    @classmethod
    def several(cls, count: int) -> list[Slot]:
        """Return as many slots in memory that children of ``fork()`` share."""
        return list((cls * count).from_buffer(mmap.mmap(-1, count * sizeof(cls))))

    def idle(self) -> None:
        """Say that it looks for rows, and runs none."""
        self.seen_at, self.began = time.monotonic(), 0.0

    def runs(self, row_id: int, attempt: int, limit: float) -> None:
        """Say which task begins; *limit* is its hard time limit in seconds, 0 for none."""
        self.began = 0.0
        self.row_id, self.attempt, self.limit = row_id, attempt, limit
        self.began = time.monotonic()

    @property
    def running(self) -> tuple[int, int] | None:
        """The row and the attempt that run, if any."""
        return (self.row_id, self.attempt) if self.began else None

    @property
    def over(self) -> float:
        """The hard limit in seconds that its task has exceeded; 0 of one that has not."""
        began, limit = self.began, self.limit
        return float(limit) if began and limit and time.monotonic() - began > limit else 0.0
