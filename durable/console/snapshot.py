"""The figures of *Now*: asked once a second at most in each process, however many look at it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.utils import timezone

from durable.backups.metrics import proven_age
from durable.canary import metrics as canary
from durable.database import locks
from durable.database.server import Server, server
from durable.journal import entry
from durable.journal.minutes import BOUNDS, releases
from durable.journal.models import Entry, Minute
from durable.queue import conf as queue
from durable.queue import metrics, overview
from durable.schedules import broker_state
from durable.schedules.late import Late, late

#: Seconds that an answer is good for.
KEEP = 1.0
#: Milliseconds that PostgreSQL may take for one statement of it.
STATEMENT_TIMEOUT = 3000
MINUTES = 60
#: KiB, from which on memory is worth a sentence.
MUCH = 300_000


class Queue(NamedTuple):
    """A queue: what waits in it, and what came and went."""

    name: str
    ready: int
    scheduled: int
    running: int
    oldest: float | None
    called: int
    ended: int
    failed: int
    #: Ends and failures of each of the last 60 minutes.
    ends: list[int]
    failures: list[int]
    takers: int
    paused: bool
    #: Seconds that its canary takes; ``None``: it has none.
    canary: float | None = None

    @property
    def empty_in(self) -> float | None:
        """Seconds until the queue is empty, as fast as it goes now; ``None``: it grows."""
        gain = self.ended - self.called
        return 60 * self.ready / gain if self.ready and gain > 0 else None


class Failures(NamedTuple):
    """Failures of the last hour that are of one kind."""

    task: str
    error: str
    place: str
    times: int
    last: datetime
    id: int


class Snapshot(NamedTuple):
    """Everything, at one moment."""

    at: datetime
    queues: list[Queue]
    workers: list[overview.Worker]
    running: list[overview.Running]
    quarantined: list[tuple[str, str, int]]
    failures: list[Failures]
    late: list[Late]
    leader: str
    postgres: Server
    broker: broker_state.State
    backup: float | None
    #: Minutes of the last hour in which a version was deployed.
    marks: list[int]
    #: Tasks that became much slower: the mean of now and of the hour before.
    slower: list[tuple[str, float, float]]
    died: int
    #: Tasks whose processes have grown: KiB an hour ago, and now.
    grown: list[tuple[str, int, int]]
    #: Tasks that are paused: since when, and by whom.
    paused: dict[str, tuple[datetime, str]]
    #: Web's own.
    version: str = ""


def take() -> Snapshot:
    """Ask everything, in one transaction.

    :raises django.db.Error: the database is away, or slow.
    """
    broker = broker_state.read()
    with transaction.atomic(using=queue.alias()):
        with connections[queue.alias()].cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT:d}")
            holder = locks.holder(cursor, locks.LEADER)
        now = timezone.now()
        workers, running = overview.workers(), overview.running()
        minutes = list(
            Minute.objects.using(queue.alias())
            .filter(minute__gte=now - timedelta(minutes=MINUTES + 1))
            .order_by("minute")
        )
        return Snapshot(
            now, _queues(now, workers, running, minutes), workers, running,
            overview.quarantined(), _failures(now), late(),
            f"{holder.name} at {holder.address}" if holder else "",
            server(queue.alias()), broker, proven_age(now),
            releases(now - timedelta(minutes=MINUTES), now), _slower(minutes, now),
            sum(one.died for one in minutes if one.minute > now - timedelta(minutes=10)),
            _grown(minutes, now), overview.paused("task"), entry.version(),
        )  # fmt: skip


def _queues(
    now: datetime,
    workers: list[overview.Worker],
    running: list[overview.Running],
    minutes: list[Minute],
) -> list[Queue]:
    waiting = {one.name: one for one in overview.queues()}
    called: dict[str, int] = defaultdict(int, overview.called_lately())
    ended: dict[str, int] = defaultdict(int)
    failed: dict[str, int] = defaultdict(int)
    lately = Entry.objects.using(queue.alias()).filter(ended_at__gt=now - timedelta(seconds=60))
    for name, state, at in lately.values_list("queue", "state", "called_at")[: overview.CAP]:
        ended[name] += 1
        failed[name] += state in ("FAILURE", "REJECTED")
        called[name] += at > now - timedelta(seconds=60)
    ends: dict[str, list[int]] = defaultdict(lambda: [0] * MINUTES)
    failures: dict[str, list[int]] = defaultdict(lambda: [0] * MINUTES)
    for one in minutes:
        place = MINUTES - 1 - int((now - one.minute).total_seconds() // 60)
        if 0 <= place < MINUTES:
            ends[one.queue][place] += one.done + one.failed + one.revoked
            failures[one.queue][place] += one.failed
    takers = overview.by_queue(one for one in workers if one.alive)
    paused, canaries = overview.paused(), canary.seconds()
    names = {*metrics.queues(), *waiting, *ends, *ended, *(one.queue for one in running)}
    found = []
    for name in sorted(names):
        here = waiting.get(name, overview.Queue(name, 0, 0, None))
        oldest = (now - here.oldest).total_seconds() if here.oldest else None
        found.append(
            Queue(
                name, here.ready, here.scheduled, sum(one.queue == name for one in running),
                oldest, called[name], ended[name], failed[name], ends[name], failures[name],
                takers[name], name in paused, canaries.get(name),
            )
        )  # fmt: skip
    return found


def _failures(now: datetime) -> list[Failures]:
    newest = (
        Entry.objects.using(queue.alias())
        .filter(state__in=("FAILURE", "REJECTED"), ended_at__gt=now - timedelta(hours=1))
        .order_by("-ended_at")
        .values_list("task", "error", "place", "ended_at", "pk")[:2000]
    )
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for task, error, place, at, pk in newest:
        group = groups.setdefault((task, error or "", place or ""), [0, at, pk])
        group[0] += 1
    found = [Failures(*kind, *group) for kind, group in groups.items()]
    return sorted(found, key=lambda one: -one.times)[:8]


def _slower(minutes: list[Minute], now: datetime) -> list[tuple[str, float, float]]:
    """Return tasks whose mean run of the last 5 minutes is far above that of the hour before."""
    lately: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    before: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for one in minutes:
        into = lately if now - one.minute < timedelta(minutes=6) else before
        into[one.task][0] += sum(one.runs)
        into[one.task][1] += one.ran
    found = []
    for task, (count, seconds) in lately.items():
        if count >= 5 and before[task][0] >= 20:
            mean, usual = seconds / count, before[task][1] / before[task][0]
            if mean > 4 * max(usual, BOUNDS[2]):
                found.append((task, mean, usual))
    return sorted(found, key=lambda one: one[2] - one[1])


def _grown(minutes: list[Minute], now: datetime) -> list[tuple[str, int, int]]:
    """Return tasks whose processes have twice the memory that they had an hour ago, and much."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for one in minutes:
        into = last if now - one.minute < timedelta(minutes=15) else first
        into[one.task] = max(into.get(one.task, 0), one.memory or 0)
    return sorted(
        (task, first[task], memory) for task, memory in last.items()
        if task in first and memory > max(2 * first[task], MUCH)
    )  # fmt: skip


class Keeper:
    """The snapshot of this process: one question at a time; the last answer stays if none comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._error = ""
        self._until = 0.0

    def read(self) -> tuple[Snapshot | None, str]:
        """Return the newest snapshot, and why it is not a new one."""
        if not self._lock.acquire(timeout=0 if self._last else STATEMENT_TIMEOUT / 1000):
            return self._last, self._error
        try:
            if time.monotonic() >= self._until:
                try:
                    self._last, self._error = take(), ""
                except DatabaseError as error:
                    self._error = str(error).partition("\n")[0] or type(error).__name__
                self._until = time.monotonic() + KEEP
            return self._last, self._error
        finally:
            self._lock.release()


keeper = Keeper()
