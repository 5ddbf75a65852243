"""Rows that the table says a worker has, and that it neither holds nor runs."""

from __future__ import annotations

import time

from .. import conf
from ..endings import quarantine

WHY = "its end could not be recorded"


class Lost:
    """The rows of one worker whose processes have ended, or given up, without a word."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._before: set[tuple[int, int]] = set()
        self._outage_until = 0.0  # by then, what an outage has kept from being recorded is found

    def let_go(self, missed: set[tuple[int, int]], silence: float) -> None:
        """Let go of what is missed for the second time in a row.

        The first time, a process may just be recording how such an attempt has ended.

        :param missed: id and attempt of each.
        :param silence: seconds in which the database has not answered.
        """
        now = time.monotonic()
        if silence > conf.get("DEAD_AFTER"):
            self._outage_until = now + conf.get("DEAD_AFTER")
        lost, self._before = sorted(missed & self._before), missed
        if not lost:
            return
        if now < self._outage_until:  # no crash, but what may be the task's doing all the same
            for row in lost:
                quarantine.postpone_or_quarantine(*row, quarantine.OUTAGE, WHY, self._worker_id)
        ids, attempts = map(list, zip(*lost, strict=True))
        quarantine.release(
            "(id, attempt) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]))"
            " AND worker = %(me)s",
            {"ids": ids, "attempts": attempts, "me": self._worker_id},
            WHY,
        )
