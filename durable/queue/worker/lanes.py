"""Where a worker looks for rows: the lanes of its queues, and how far it has come in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .. import conf, store
from ..caller.notify import LIMITED
from .admission import Admission

#: Seconds between two looks over all lanes, from their very beginning.
RESCAN = 5.0
#: How far a look goes back behind the newest row of the look before: a row is visible from its
#: commit on, and stands in line from its call on.
SLACK = timedelta(seconds=10)
#: Earlier than all rows.
EVER = datetime.min.replace(tzinfo=UTC)


class Lanes:
    """The lanes that may have rows. What they remember is a hint: a rescan finds all again.

    :param queues: returns the names of the queues that the worker takes from now.
    """

    def __init__(self, queues: Callable[[], Iterable[str]]) -> None:
        self._queues = queues
        self._lanes: dict[tuple[str, int], store.Lane] = {}
        self._called: set[tuple[str, int]] = set()  # since the last rescan
        self.admission = Admission(queues)

    def now(self) -> list[store.Lane]:
        """Return the lanes in which to look."""
        return list(self._lanes.values())

    def listen(self, raw: Any, woken: Callable[[], None]) -> None:
        """Listen for calls on a psycopg connection; *woken* is told of those that matter here."""

        def called(notification: Any) -> None:
            priority, _, queue = notification.payload.partition(" ")
            if queue in self._queues():
                if priority == LIMITED:
                    self.admission.called()
                    woken()
                    return
                lane = (queue, int(priority))
                self._called.add(lane)
                self._lanes.setdefault(lane, store.Lane(*lane, EVER))
                woken()

        raw.add_notify_handler(called)
        store.run(f"LISTEN {conf.CHANNEL}")

    @staticmethod
    def read(raw: Any) -> None:
        """Read what has arrived on an idle connection.

        :raises Exception: the server has closed it.
        """
        raw.pgconn.consume_input()
        while found := raw.pgconn.notifies():
            raw.pgconn.notify_handler(found)
        # One that broke is readable for ever.
        if raw.pgconn.status != 0:
            raise ConnectionError("the database has closed the connection")

    def rescan(self) -> None:
        """Find the lanes in which rows wait, and where each begins."""
        self._called.clear()
        self.admission.called()
        queues = list(self._queues())
        found = store.lanes(queues)
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

    def passed(self, rows: Sequence[store.Held]) -> None:
        """Remember how far these rows were."""
        for row in rows:
            lane = (row.queue, row.priority)
            since = row.due_at - SLACK
            if lane in self._lanes and since > self._lanes[lane].since:
                self._lanes[lane] = store.Lane(*lane, since)

    def wake_others(self) -> None:
        """Let other workers look anew: rows were let go."""
        if self._lanes:
            store.notify([f"{priority} {queue}" for queue, priority in self._lanes])
