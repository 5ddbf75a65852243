"""One fault: load, break, repair, wait, count."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from . import count as counting
from .engine import ChaosError, wait_until
from .fault import AnyStack, FaultOn, SceneOn
from .load import Load
from .redeliver import redeliver
from .target import Target

#: Operations per second; so many at least, and seconds of load after the repair.
RATE = 14.0
LEAST = 200
AFTERWARDS = 4.0
#: Seconds without progress until what is missing counts as lost.
PATIENCE = 120.0
PATIENCE_BASELINE = 25.0


@dataclass
class Outcome:
    """One row of the table."""

    name: str
    what: str
    enqueued: int = 0
    executed: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    #: Not lost, but held back until Redis' visibility timeout: an hour by default.
    late: int = 0
    #: Failed or in quarantine, as they must.
    ended: int = 0
    #: Executed, and no result says so.
    no_result: int = 0
    #: Seconds from the end of the fault until all was done; None if it never was.
    seconds: float | None = None
    #: Seconds from the break until everything was healthy again; None if it wasn't measured.
    recovery: float | None = None
    requests: int = 0
    failed_requests: int = 0
    #: Whether requests may fail.
    noticed: bool = True
    #: POST requests from the break on, in seconds.
    p50: float = 0.0
    p99: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was lost, nothing had its effect twice, and no visitor noticed a verb."""
        return not self.lost and not self.twice and (self.noticed or not self.failed_requests)


def run_fault(
    stack: AnyStack,
    fault: FaultOn[AnyStack],
    label: str,
    seed: object,
    say: Callable[[str], None],
    pages: float = 0.0,
) -> Outcome:
    """Run *fault* alone, under load, and count.

    :param pages: requests for a page per second, beside those that enqueue.
    """
    outcome = Outcome(fault.name, fault.what, noticed=fault.noticed)
    settle(stack)
    since = database_time(stack)
    load = Load(stack, label, RATE, seed, pages, uploads=fault.uploads)
    scene = SceneOn(stack, load, random.Random(f"{seed}/{label}/fault"), say, outcome.notes)
    fault.prepare(scene)
    load.start()
    try:
        wait_until(lambda: load.accepted >= 40, "the first tasks are accepted", 240)
        say("breaks")
        broke = time.monotonic()
        fault.inject(scene)
        scene.wait(fault.lasts)
        fault.heal(scene)
        healed = time.monotonic()
        say("is over")
        stack.wait_healthy()
        outcome.recovery = (scene.whole_at or time.monotonic()) - broke
        wait_until(
            lambda: load.accepted >= LEAST and time.monotonic() - healed > AFTERWARDS,
            f"{LEAST} tasks are accepted",
            400,
        )
    finally:
        load.stop()
    outcome.seconds = wait_done(stack, label, healed, say)
    outcome.late = after_visibility_timeout(stack, label)
    outcome.p50, outcome.p99 = load.answers.percentiles(broke, healed + AFTERWARDS)
    fill_in(outcome, stack, load, label, since)
    return outcome


def fill_in(outcome: Outcome, stack: Target, load: Load, label: str, since: float) -> None:
    """Write the final counts into *outcome*.

    :param since: the database's time before the load.
    """
    found = counting.count(stack, label, load.answers)
    outcome.enqueued, outcome.executed = found.enqueued, found.executed
    outcome.lost, outcome.ended = found.lost, found.ended
    outcome.twice = found.doubled + counting.doubled_ticks(stack, since)
    outcome.twice += counting.over_limit(stack, label)
    if not stack.baseline:
        outcome.lost += lost_ticks(stack)
    outcome.no_result = counting.without_result(stack, label)
    outcome.requests = load.answers.sent
    outcome.failed_requests = len(load.answers.failures)
    outcome.notes += [f"request failed: {failure}" for failure in load.answers.failures[:10]]


def lost_ticks(stack: Target) -> list[str]:
    """Return what beat has sent and no worker executed; one may be under way, so this waits."""
    missing = 0
    for _ in range(20):
        if (missing := counting.missing_ticks(stack)) <= 0:
            return []
        time.sleep(1)
    return [f"{missing} ticks of beat"]


def database_time(stack: Target) -> float:
    """Return the database's time, in seconds."""
    return float(stack.sql("SELECT extract(epoch FROM clock_timestamp())")[0][0])


def settle(stack: Target) -> None:
    """Wait until the stack is healthy and has nothing to do."""
    stack.wait_healthy()
    try:
        wait_until(lambda: counting.waiting(stack) == 0, "every queue is empty", 240)
    except ChaosError:
        if not stack.baseline:
            raise
        for key in ("default", "mail", "reports", "unacked", "unacked_index"):
            stack.redis("DEL", key)


def wait_done(stack: Target, label: str, since: float, say: Callable[[str], None]) -> float | None:
    """Wait until every operation has had its effect, as long as there is progress.

    :param since: a time of ``time.monotonic()``.
    :return: seconds from *since* until then, or ``None``.
    """
    patience = PATIENCE_BASELINE if stack.baseline else PATIENCE
    best, moved_at, said_at = -1, time.monotonic(), time.monotonic()
    while time.monotonic() - moved_at < patience:
        try:
            found = counting.count(stack, label)
        except ChaosError:
            time.sleep(1)  # the database is on its way back
            continue
        now = time.monotonic()
        if found.done:
            return now - since
        if found.executed + found.ended > best:
            best, moved_at = found.executed + found.ended, now
        if now - said_at > 10:
            said_at = now
            say(f"{found.executed + found.ended} of {found.enqueued} are done")
        time.sleep(0.5)
    return None


def after_visibility_timeout(stack: Target, label: str) -> int:
    """Let the visibility timeout pass; return how many operations were done only then."""
    stack.wait_healthy()
    _, before = counting.progress(stack, label)
    if redeliver(stack):
        quiet = wait_quiet(stack)
        if not quiet and not stack.baseline:
            raise ChaosError("the queues don't become empty")
    _, after = counting.progress(stack, label)
    return after - before


def wait_quiet(stack: Target) -> bool:
    """Wait until nothing is under way; return whether it came to that."""
    seconds = 40 if stack.baseline else 240
    try:
        wait_until(lambda: counting.waiting(stack) == 0, "every queue is empty", seconds)
    except ChaosError:
        return False
    return True
