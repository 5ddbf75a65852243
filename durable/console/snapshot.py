"""The figures of *Now*: asked once a second at most in each process, however many look at it."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.utils import timezone

from durable.backups.metrics import proven_age
from durable.canary import metrics as canary
from durable.database import locks, sessions
from durable.database.server import Server, server
from durable.health import readiness
from durable.journal import conf as journal
from durable.journal import entry, minutes
from durable.journal.minutes import BOUNDS, Change
from durable.journal.models import Entry
from durable.queue import conf as queue
from durable.queue import metrics, overview
from durable.schedules import broker_state, leader
from durable.schedules.late import Late, late

from . import filters, proxy
from .proxy import State as ProxyState

#: Seconds that an answer is good for.
KEEP = 1.0
#: Milliseconds that PostgreSQL may take for one statement of it.
STATEMENT_TIMEOUT = 3000
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
    #: The session of the beat that leads.
    leader: locks.Holder | None
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
    #: Connections of web's health checks, and of the beats: that which leads, and those that wait.
    web: tuple[sessions.Session, ...] = ()
    beats: tuple[sessions.Session, ...] = ()
    #: ``None``: not known yet, or no proxy is named.
    proxy: ProxyState | None = None
    #: Seconds until PostgreSQL had answered the shortest question.
    took: float = 0.0


def take() -> Snapshot:
    """Ask everything, in one transaction.

    :raises django.db.Error: the database is away, or slow.
    """
    broker, in_front = broker_state.read(), proxy.read()
    with transaction.atomic(using=queue.alias()):
        with connections[queue.alias()].cursor() as cursor:
            begin = time.monotonic()
            cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT:d}")
            took = time.monotonic() - begin
            holder = locks.holder(cursor, locks.LEADER)
        here = sessions.named(queue.alias(), readiness.NAME, leader.NAME)
        now = timezone.now()
        workers, running = overview.workers(), overview.running()
        since = now - timedelta(hours=1)
        changes = minutes.changes(since, now)
        return Snapshot(
            now, _queues(now, workers, running), workers, running,
            overview.quarantined(), _failures(now), late(), holder, server(queue.alias()),
            broker, proven_age(now), minutes.releases(since, now), _slower(changes),
            minutes.died(now - timedelta(minutes=10)), _grown(changes),
            overview.paused("task"), entry.version(),
            tuple(one for one in here if one.name == readiness.NAME),
            tuple(one for one in here if one.name == leader.NAME), in_front, took,
        )  # fmt: skip


def _queues(
    now: datetime, workers: list[overview.Worker], running: list[overview.Running]
) -> list[Queue]:
    waiting = {one.name: one for one in overview.queues()}
    called, ended = overview.called_lately(), minutes.last(now, overview.CAP)
    hour = minutes.ends(now - timedelta(hours=1), now, by="queue")
    takers = overview.by_queue(one for one in workers if one.alive)
    paused, canaries = overview.paused(), canary.seconds()
    names = {*metrics.queues(), *waiting, *hour, *ended, *(one.queue for one in running)}
    found = []
    for name in sorted(names):
        here = waiting.get(name, overview.Queue(name, 0, 0, None))
        oldest = (now - here.oldest).total_seconds() if here.oldest else None
        lately = ended.get(name, minutes.Last(0, 0, 0))
        found.append(
            Queue(
                name, here.ready, here.scheduled, sum(one.queue == name for one in running),
                oldest, called.get(name, 0) + lately.called, lately.ended, lately.failed,
                *hour.get(name, ([0] * minutes.PARTS, [0] * minutes.PARTS)),
                takers[name], name in paused, canaries.get(name),
            )
        )  # fmt: skip
    return found


def _failures(now: datetime) -> list[Failures]:
    since = now - timedelta(hours=1)
    newest = (
        Entry.objects.using(queue.alias())
        .filter(filters.FAILED, replayed_at=None, ended_at__gt=since,
                slot__in=journal.slots(since, now))
        .order_by("-ended_at")
        .values_list("task", "error", "place", "ended_at", "pk")[:2000]
    )  # fmt: skip
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for task, error, place, at, pk in newest:
        group = groups.setdefault((task, error or "", place or ""), [0, at, pk])
        group[0] += 1
    found = [Failures(*kind, *group) for kind, group in groups.items()]
    return sorted(found, key=lambda one: -one.times)[:8]


def _slower(changes: list[Change]) -> list[tuple[str, float, float]]:
    """Return tasks whose mean run of the last 5 minutes is far above that of the hour before."""
    found = []
    for one in changes:
        if one.runs >= 5 and one.runs_before >= 20:
            mean, usual = one.ran / one.runs, one.ran_before / one.runs_before
            if mean > 4 * max(usual, BOUNDS[2]):
                found.append((one.task, mean, usual))
    return sorted(found, key=lambda one: one[2] - one[1])


def _grown(changes: list[Change]) -> list[tuple[str, int, int]]:
    """Return tasks whose processes have twice the memory that they had an hour ago, and much."""
    return sorted(
        (one.task, one.memory_before, one.memory) for one in changes
        if one.memory_before and one.memory > max(2 * one.memory_before, MUCH)
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
