"""The parts of the stack as *Now* shows them: ok, slow or away, since when, which version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from durable.backups.metrics import OLD
from durable.database.sessions import Session

from .snapshot import Snapshot
from .words import duration, many, size

#: Seconds until an answer, from which on a part is slow.
SLOW = 0.25
#: Seconds without a health check of web, after which it counts as silent: of several processes at
#: one address each check asks one.
SILENT = 60.0
#: Pools, and versions of a part, that are told apart.
MOST = 4


class Part(NamedTuple):
    """A part of the stack."""

    name: str
    #: ``ok``, ``warn``, ``bad``; empty: not known, or there is none.
    level: str
    says: str
    more: str = ""


class Web(NamedTuple):
    """Web's ready processes at one address: a container, a pod, or a machine."""

    address: str
    processes: int
    versions: set[str]
    since: datetime
    silent: float


def web(sessions: Iterable[Session]) -> list[Web]:
    """Return where web runs, by the connections of its health checks."""
    by: dict[str, list[Session]] = {}
    for one in sessions:
        by.setdefault(one.address, []).append(one)
    return [
        Web(address, len(of), {one.version for one in of} - {""},
            min(one.since for one in of), min(one.quiet for one in of))
        for address, of in by.items()
    ]  # fmt: skip


def silent(sessions: Iterable[Session]) -> list[Web]:
    """Return where web no longer answers its health checks."""
    return [one for one in web(sessions) if one.silent > SILENT]


def parts(now: Snapshot, away: bool) -> list[Part]:
    """Return each part; *away*: PostgreSQL is, and the snapshot is the last that was known."""
    looks = (_web, _workers, _beat, _postgresql, _broker, _proxy, _backup)
    found = [one for look in looks for one in look(now)]
    if not away:
        return found
    last = Part("PostgreSQL", "bad", "away", f"it was last seen {now.at:%H:%M:%S} UTC")
    return [last if one.name == last.name else one for one in found]


def _joined(*texts: str) -> str:
    return ", ".join(filter(None, texts))


def _since(now: Snapshot, since: datetime | None) -> str:
    return f"for {duration((now.at - since).total_seconds())}" if since else ""


def _versions(versions: Iterable[str]) -> str:
    found = sorted(set(versions) - {""})
    return ", ".join(found[:MOST]) + (", …" if len(found) > MOST else "")


def _speed(took: float) -> tuple[str, str]:
    """Return the level of a part that answers, and what that says."""
    return ("warn", f"slow: {duration(took)}") if took > SLOW else ("ok", "ok")


def _web(now: Snapshot) -> Iterator[Part]:
    if not (found := web(now.web)):
        yield Part("Web", "", "not known", f"no health check asks /readyz; {now.version} is here")
        return
    versions = {version for one in found for version in one.versions}
    level = "warn" if len(versions) > 1 else "ok"
    says = f"{sum(one.processes for one in found)} ready"
    if lost := silent(now.web):
        level, says = "bad", f"{len(lost)} of {len(found)} away"
    since = min(one.since for one in found)
    yield Part("Web", level, says, _joined(_versions(versions), _since(now, since)))


def _workers(now: Snapshot) -> Iterator[Part]:
    alive = [one for one in now.workers if one.alive]
    pools = Counter(one.queues.replace(",", ", ") for one in alive).most_common()
    lost = len(now.workers) - len(alive)
    versions = {one.version for one in alive}
    level = "bad" if not alive else "warn" if lost or len(versions) > 1 else "ok"
    more = [f"{many(len(now.running), 'task')} running", _versions(versions)]
    if lost:
        more.insert(0, f"{lost} away")
    if alive:
        more.append(f"the newest {_since(now, max(one.started_at for one in alive))}")
    yield Part("Workers", level, f"{len(alive)} alive", _joined(*more))
    for queues, number in pools[:MOST] if len(pools) > 1 else ():
        yield Part(f"Workers of {queues}", "ok", str(number))


def _beat(now: Snapshot) -> Iterator[Part]:
    stand_by = len(now.beats) - bool(now.leader)
    waits = f"{stand_by} {'stands' if stand_by == 1 else 'stand'} by" if stand_by > 0 else ""
    if not now.leader:
        yield Part("Beat", "bad", "none leads", waits)
        return
    leader = next((one for one in now.beats if one.pid == now.leader.pid), None)
    where = f"at {now.leader.address}"
    more = _joined(leader.version, _since(now, leader.since)) if leader else now.leader.name
    yield Part("Beat", "ok", "leads", _joined(more, where, waits))


def _postgresql(now: Snapshot) -> Iterator[Part]:
    server = now.postgres
    yield Part(
        "PostgreSQL", *_speed(now.took),
        _joined(server.version, _since(now, server.since),
                f"{server.connections} of {server.most} connections", size(server.bytes)),
    )  # fmt: skip


def _broker(now: Snapshot) -> Iterator[Part]:
    broker, since = now.broker, _since(now, now.broker.since)
    if broker.state == "away":
        yield Part("Broker", "bad", "away", _joined(since, broker.says))
    elif broker.state == "none":
        yield Part("Broker", "", "none", "all tasks are rows")
    else:
        limit = f" of {size(broker.limit)}" if broker.limit else ""
        yield Part(
            "Broker", *_speed(broker.took),
            _joined(broker.says, since, f"{size(broker.memory)}{limit}" if broker.memory else ""),
        )  # fmt: skip


def _proxy(now: Snapshot) -> Iterator[Part]:
    if now.proxy is None:
        return
    found, since = now.proxy, _since(now, now.proxy.since)
    if found.state != "ok":
        says = "away" if found.state == "away" else "does not reach web"
        yield Part("Proxy", "bad", says, _joined(since, found.says))
    else:
        yield Part("Proxy", *_speed(found.took), since)


def _backup(now: Snapshot) -> Iterator[Part]:
    if now.backup is None:
        yield Part("Proven backup", "", "none is made here")
    elif now.backup == float("inf"):
        yield Part("Proven backup", "bad", "none is proven")
    else:
        level = "warn" if now.backup > OLD else "ok"
        yield Part("Proven backup", level, f"{duration(now.backup)} old")
