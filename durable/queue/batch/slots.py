"""What the supervisor sees of its processes: memory that both share, and no lock."""

from __future__ import annotations

import mmap
import struct
import time

#: When it last looked for rows, when its task began, that one's hard limit, its row and attempt.
_LAYOUT = struct.Struct("dddqq")


class Slot:
    """One process, as it writes it and as its supervisor reads it.

    A reader may see half of a change, and decides nothing by one look: times are compared in steps
    of a second, and what has ended is decided by the row.
    """

    def __init__(self, memory: mmap.mmap, number: int, hostname: str) -> None:
        self._memory, self._offset, self.hostname = memory, number * _LAYOUT.size, hostname

    @classmethod
    def several(cls, count: int, hostname: str) -> list[Slot]:
        """Return as many slots in memory that children of ``fork()`` share."""
        memory = mmap.mmap(-1, count * _LAYOUT.size)
        return [cls(memory, number, hostname) for number in range(count)]

    def _write(self, began: float, limit: float, row_id: int, attempt: int) -> None:
        _LAYOUT.pack_into(
            self._memory, self._offset, time.monotonic(), began, limit, row_id, attempt
        )

    def alive(self) -> None:
        """Say that it looks for rows."""
        self._write(0.0, 0.0, 0, 0)

    idle = alive

    def runs(self, row_id: int, attempt: int, limit: float) -> None:
        """Say which task begins; *limit* is its hard time limit in seconds, 0 for none."""
        self._write(time.monotonic(), limit, row_id, attempt)

    @property
    def seen_at(self) -> float:
        """When it last said something, by the monotonic clock."""
        return float(self._read()[0])

    @property
    def running(self) -> tuple[int, int] | None:
        """The row and the attempt that run, if any."""
        _, began, _, row_id, attempt = self._read()
        return (row_id, attempt) if began else None

    @property
    def over(self) -> float:
        """The hard limit in seconds that its task has exceeded; 0 of one that has not."""
        _, began, limit, _, _ = self._read()
        return float(limit) if began and limit and time.monotonic() - began > limit else 0.0

    def _read(self) -> tuple[float, float, float, int, int]:
        found: tuple[float, float, float, int, int] = _LAYOUT.unpack_from(
            self._memory, self._offset
        )
        return found
