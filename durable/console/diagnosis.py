"""The diagnosis in words, the worst first: the sentence on top of *Now*."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from durable.backups.metrics import OLD
from durable.canary.conf import LATE as CANARY_LATE

from . import parts
from .snapshot import Snapshot
from .words import duration, many, size

#: Seconds. A row that is ready for so long is late; a transaction open for so long is stuck.
LATE, STUCK = 30.0, 300.0
#: Parts of a limit.
NEAR = 0.85


class Finding(NamedTuple):
    """Something that is wrong."""

    #: ``bad``: work stands still or is lost soon. ``warn``: a person should look today.
    level: str
    says: str
    do: str = ""
    #: A filter that shows it.
    shows: str = ""


def _no_worker(now: Snapshot) -> Iterator[Finding]:
    alive = [one for one in now.workers if one.alive]
    for one in now.queues:
        if one.ready and not one.takers and not one.paused:
            what = (
                f"{many(one.ready, 'task')} of {one.name} {'waits' if one.ready == 1 else 'wait'}"
            )
            since = f" for {duration(one.oldest)}" if one.oldest else ""
            if not alive:
                yield Finding(
                    "bad", f"{what}{since}: no worker is alive.",
                    "Start one: make scale-workers N=1; its log says why it went.",
                    f"queue:={one.name} state:ready",
                )  # fmt: skip
            else:
                yield Finding(
                    "bad", f"{what}{since}: no worker takes from it.",
                    f"Add {one.name} to WORKER_QUEUES of a worker, or start one for it.",
                    f"queue:={one.name} state:ready",
                )  # fmt: skip


def _canaries(now: Snapshot) -> Iterator[Finding]:
    for one in now.queues:
        # One that waits behind others is their matter (_backlog).
        if one.canary and one.canary > CANARY_LATE and one.takers and not one.ready:
            yield Finding(
                "bad",
                f"The canary of {one.name} has not come to its end for {duration(one.canary)}: "
                f"workers take from it, and their tasks do not end.",
                "See what runs the longest, and a worker's log; stop one that stands still.",
                f"queue:={one.name} state:running",
            )  # fmt: skip


def _stuck(now: Snapshot) -> Iterator[Finding]:
    server = now.postgres
    if server.oldest > STUCK:
        yield Finding(
            "bad",
            f"A transaction of {server.oldest_name or 'an unnamed client'} is open for "
            f"{duration(server.oldest)}: nothing can be vacuumed, and tables grow.",
            f"See what it does, then end it: SELECT pg_terminate_backend({server.oldest_pid})",
        )
    if server.connections > NEAR * server.most:
        yield Finding(
            "bad", f"{server.connections} of {server.most} connections of PostgreSQL are taken.",
            "Fewer processes, or a higher max_connections: manage.py check --deploy adds them up.",
        )  # fmt: skip


def _broker(now: Snapshot) -> Iterator[Finding]:
    if now.broker.state == "away":
        yield Finding(
            "warn",
            f"The broker does not answer ({now.broker.says}): plain calls wait, durable go on.",
            "Bring it back; nothing has to be repaired.",
        )
    elif now.broker.limit and now.broker.memory > NEAR * now.broker.limit:
        part = 100 * now.broker.memory // now.broker.limit
        yield Finding(
            "bad", f"The broker is {part} % full: beyond its limit it refuses plain calls.",
            "Let workers empty its queues, or give it more memory (maxmemory).",
        )  # fmt: skip


def _web(now: Snapshot) -> Iterator[Finding]:
    for one in parts.silent(now.web)[:1]:
        yield Finding(
            "bad", f"Web at {one.address} has answered no health check for {duration(one.silent)}.",
            "It is frozen, or no check asks it any more: see its log, and start it anew.",
        )  # fmt: skip


def _proxy(now: Snapshot) -> Iterator[Finding]:
    found = now.proxy
    if found and found.state != "ok":
        since = duration((now.at - found.since).total_seconds())
        what = "does not answer" if found.state == "away" else "does not reach web"
        yield Finding(
            "bad", f"The proxy {what} ({found.says}) for {since}: no visitor gets a page.",
            "See its log; on compose, start the service proxy. OPS_PROXY says where it is asked.",
        )  # fmt: skip


def _beat(now: Snapshot) -> Iterator[Finding]:
    if not now.leader:
        yield Finding(
            "bad", "No beat leads: no periodic task is called.", "Start the role beat; see its log."
        )
    elif now.late:
        one = now.late[0]
        more = f", and {many(len(now.late) - 1, 'more')}" if len(now.late) > 1 else ""
        yield Finding(
            "warn", f"The periodic task “{one.name}” is {duration(one.seconds)} late{more}.",
            "Beat's log names what keeps it.",
        )  # fmt: skip


def _backlog(now: Snapshot) -> Iterator[Finding]:
    for one in now.queues:
        if one.oldest and one.oldest > LATE and one.takers and not one.paused:
            pace = f"{one.called} come and {one.ended} end a minute"
            goal = f"empty in {duration(one.empty_in)}" if one.empty_in else "it does not shrink"
            yield Finding(
                "warn",
                f"{one.name} is behind: {many(one.ready, 'task')}, the oldest ready for "
                f"{duration(one.oldest)}; {pace}, {goal}.",
                "More workers: make scale-workers N=…",
                f"queue:={one.name} state:ready",
            )


def _quarantine(now: Snapshot) -> Iterator[Finding]:
    total = sum(count for _, _, count in now.quarantined)
    if total:
        task, error, times = now.quarantined[0]
        most = "" if times == total else "most "
        yield Finding(
            "bad", f"{many(total, 'task')} in quarantine, {most}of {task}: {error[:120]}.",
            "Correct the cause, then start them again; or discard them.", "state:quarantined",
        )  # fmt: skip


def _died(now: Snapshot) -> Iterator[Finding]:
    if now.died:
        yield Finding(
            "warn", f"{many(now.died, 'attempt')} died in the last 10 minutes, without a word.",
            "Mostly out of memory: see Names for what each task takes, and the kernel's log.",
        )  # fmt: skip


def _paused(now: Snapshot) -> Iterator[Finding]:
    for name, (since, who) in now.paused.items():
        yield Finding(
            "warn",
            f"{name} is paused by {who} for {duration((now.at - since).total_seconds())}: its "
            f"calls wait.",
            f"Resume it on the page Queues, or by manage.py tasks resume --task {name}",
            f"task:={name}",
        )


def _failing(now: Snapshot) -> Iterator[Finding]:
    for one in now.queues:
        if one.failed >= 3 and one.failed * 5 > one.ended:
            kind = now.failures[0] if now.failures else None
            what = f": {kind.task} by {kind.error} at {kind.place}" if kind else ""
            yield Finding(
                "bad", f"{one.failed} of {one.ended} tasks of {one.name} failed last minute{what}.",
                "See Failures; once it is corrected, start the group again.",
                f"queue:={one.name} state:failed",
            )  # fmt: skip


def _slow(now: Snapshot) -> Iterator[Finding]:
    for task, mean, usual in now.slower[:1]:
        yield Finding(
            "warn",
            f"{task} takes {duration(mean)}, {mean / max(usual, 1e-3):.0f} times as long as in the "
            f"last hour.",
            "A slow database or another system: see what runs, and PostgreSQL's log.",
            f"task:={task} state:running",
        )


def _versions(now: Snapshot) -> Iterator[Finding]:
    of_workers = {one.version for one in now.workers if one.alive}
    others = {one.version for one in (*now.web, *now.beats)}
    versions = sorted({now.version, *of_workers, *others} - {""})
    if len(versions) > 1:
        yield Finding(
            "warn", f"The roles run different versions: {', '.join(versions)}.",
            "In a roll-out this passes; else replace the old ones.",
        )  # fmt: skip


def _leaks(now: Snapshot) -> Iterator[Finding]:
    for task, before, now_ in now.grown[:1]:
        yield Finding(
            "warn",
            f"Processes that ran {task} have grown from {size(1024 * before)} to "
            f"{size(1024 * now_)}.",
            "It may keep what it should drop; CELERY_WORKER_MAX_TASKS_PER_CHILD bounds it.",
            f"task:={task}",
        )


def _backup(now: Snapshot) -> Iterator[Finding]:
    if now.backup is not None and now.backup > OLD:
        says = (
            "There are backups, and none of them is proven."
            if now.backup == float("inf")
            else f"The last proven backup is {duration(now.backup)} old."
        )
        yield Finding("warn", says, "docs/backups.md; the page Backups says what failed.")


_LOOKS: tuple[Callable[[Snapshot], Iterator[Finding]], ...] = (
    # A cause before what it leads to: what is slow makes a backlog, what leaks is killed.
    _web, _proxy, _no_worker, _canaries, _stuck, _failing, _quarantine, _beat, _broker, _paused,
    _slow, _leaks, _died, _backlog, _versions, _backup,
)  # fmt: skip


def findings(now: Snapshot) -> list[Finding]:
    """Return what is wrong, the worst first."""
    found = [one for look in _LOOKS for one in look(now)]
    return sorted(found, key=lambda one: one.level != "bad")


def calm(now: Snapshot) -> str:
    """Return the sentence of a stack that nothing is wrong with."""
    ended = sum(one.ended for one in now.queues)
    workers = sum(one.alive for one in now.workers)
    running = len(now.running)
    return (
        f"All is well: {many(workers, 'worker')}, {many(running, 'task')} running, "
        f"{ended} ended in the last minute, nothing waits for long."
    )
