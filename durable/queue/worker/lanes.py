"""Where a worker looks for rows, and when: the lanes of its queues, and how far it is in each."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .. import conf, places, store
from ..caller.notify import LIMITED
from ..caller.notify import lane as lane_name

#: Seconds between two looks over all lanes, from their very beginning.
RESCAN = 5.0
#: How far a look goes back behind the newest row of the look before: a row is visible from its
#: commit on, and stands in line from its call on.
SLACK = timedelta(seconds=10)
#: Seconds until the next look after one that has found rows, and fewer than wanted: another worker
#: may have locked more than it takes, for a moment.
ELSEWHERE = 0.02
#: Seconds between two looks that a rate asks for, at least.
SOONEST = 0.02
#: Earlier than all rows.
EVER = datetime.min.replace(tzinfo=UTC)


class Lanes:
    """The lanes that may have rows. What they remember is a hint: a rescan finds all again.

    :param queues: returns the names of the queues that the worker takes from now.
    :param known: the names of its tasks; without them, it takes rows of all.
    """

    def __init__(
        self, queues: Callable[[], Iterable[str]], known: Iterable[str] | None = None
    ) -> None:
        self._queues = queues
        self.known = None if known is None else sorted(known)
        self._lanes: dict[tuple[str, int], store.Lane] = {}
        self._called: set[tuple[str, int]] = set()  # since the last rescan
        self._listens = False
        self._looked_at = self._called_at = 0.0
        #: When to look for rows, and when over all lanes, by the monotonic clock.
        self.look_at = self.rescan_at = 0.0
        self.admission = Admission(queues, self.known)

    def now(self) -> list[store.Lane]:
        """Return the lanes in which to look from now."""
        self._looked_at = time.monotonic()
        return list(self._lanes.values())

    # --- When ------------------------------------------------------------------------------------

    def begin(self, raw: Any) -> None:
        """Begin anew on a psycopg connection, which is to hear of calls (``DURABLE_PREPARE``)."""
        self._listens = bool(conf.get("PREPARE"))
        if self._listens:
            raw.add_notify_handler(self._called_for)
            store.run(f"LISTEN {conf.CHANNEL}")
        self.rescan_at = self.look_at = 0.0

    def look(self) -> None:
        """Look for rows now: of a call, or because others were let go."""
        self.look_at = self._called_at = time.monotonic()

    def keep_up(self, now: float) -> None:
        """Rescan, and let rows with keys in line, if it is time to."""
        if now >= self.rescan_at:
            self.rescan()
            self.rescan_at = now + (RESCAN if self._listens else conf.get("POLL"))
        if now >= self.admission.at and self.admission.look():
            self.look_at = now

    def found(self, rows: Sequence[store.Held], wanted: int) -> None:
        """Remember how far these rows were; look again later if they are fewer than *wanted*."""
        for row in rows:
            lane = (row.queue, row.priority)
            since = row.due_at - SLACK
            if lane in self._lanes and since > self._lanes[lane].since:
                self._lanes[lane] = store.Lane(*lane, since)
        if len(rows) < wanted:
            pause = ELSEWHERE if rows else conf.get("POLL")
            # A row that was called after the look had begun is not among those that it found,
            # though its NOTIFY may be read by now.
            again = self._called_at > self._looked_at
            self.look_at = self._called_at if again else time.monotonic() + pause

    def wait(self, raw: Any, reader: int, until: float) -> bool:
        """Wait for what the connection tells, for a byte in *reader*, or until a time.

        :return: whether there is a byte.
        :raises Exception: the server has closed the connection.
        """
        until = min(until, self.rescan_at, self.admission.at)
        seconds = max(0.0, until - time.monotonic())
        ready, _, _ = select.select([reader, raw.fileno()], [], [], seconds)
        if raw.fileno() in ready:
            _read(raw)
        return reader in ready

    # --- Where -----------------------------------------------------------------------------------

    def _called_for(self, notification: Any) -> None:
        priority, _, queue = notification.payload.partition(" ")
        if queue not in self._queues():
            return
        if priority == LIMITED:
            self.admission.called()
        else:
            lane = (queue, int(priority))
            self._called.add(lane)
            self._lanes.setdefault(lane, store.Lane(*lane, EVER))
        self.look()

    def rescan(self) -> None:
        """Find the lanes in which rows wait, and where each begins."""
        self._called.clear()
        self.admission.called()
        queues = list(self._queues())
        found = store.lanes(queues, self.known)
        lanes = {
            (lane.queue, lane.priority): lane._replace(since=lane.since - SLACK) for lane in found
        }
        # Where none waits now, one may be due before the next rescan: a retry, a countdown. Neither
        # wakes anybody.
        new = datetime.now(UTC) - SLACK
        for queue in queues:
            lanes.setdefault((queue, 0), store.Lane(queue, 0, new))
        for known, lane in self._lanes.items():
            if lane.queue in queues:
                lanes.setdefault(known, lane._replace(since=max(lane.since, new)))
        for called in self._called:  # while this has looked
            lanes.setdefault(called, store.Lane(*called, EVER))
        self._lanes = lanes

    def wake_others(self) -> None:
        """Let other workers look anew: rows were let go."""
        if self._lanes:
            store.notify([lane_name(*lane) for lane in self._lanes])


def _read(raw: Any) -> None:
    raw.pgconn.consume_input()
    while found := raw.pgconn.notifies():
        raw.pgconn.notify_handler(found)
    # One that broke is readable for ever.
    if raw.pgconn.status != 0:
        raise ConnectionError("the database has closed the connection")


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
