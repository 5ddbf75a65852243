"""The soak: faults at random, one after another, under a load that never stops."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator

from . import count as counting
from . import faults
from .fault import Fault, Scene
from .load import Load
from .runner import (
    Outcome,
    after_visibility_timeout,
    database_time,
    fill_in,
    settle,
    wait_done,
)
from .stack import Stack

#: Operations per second.
RATE = 8.0


def sequence(seed: int) -> Iterator[tuple[type[Fault], float, random.Random]]:
    """Return what the seed chooses: fault after fault, the pause before it, and its own choices."""
    choices = random.Random(f"soak/{seed}")
    known = [fault for fault in faults.ALL if fault.soak]
    while True:
        fault, pause = choices.choice(known), choices.uniform(1, 6)
        yield fault, pause, random.Random(choices.random())


def run_soak(stack: Stack, seed: int, minutes: float, say: Callable[[str], None]) -> Outcome:
    """Break the stack at random for so many minutes, and count at the end.

    The same seed strikes with the same faults in the same order, at the same victims; how many fit
    into the time depends on the machine.
    """
    label = f"soak-{seed}-batch" if stack.batch else f"soak-{seed}"
    struck: Counter[str] = Counter()
    settle(stack)
    since = database_time(stack)
    load = Load(stack, label, RATE, seed)
    load.start()
    end = time.monotonic() + minutes * 60
    healed = time.monotonic()
    try:
        for fault_type, pause, choices in sequence(seed):
            if time.monotonic() + pause > end:
                break
            time.sleep(pause)
            fault = fault_type()
            scene = Scene(stack, load, choices, say)
            fault.prepare(scene)
            say(f"{sum(struck.values()) + 1}. {fault.name}: {fault.what}")
            struck[fault.name] += 1
            fault.inject(scene)
            scene.wait(fault.lasts)
            fault.heal(scene)
            healed = time.monotonic()
            # One fault at a time: the next one finds a stack that serves, and much left to do.
            stack.wait_healthy()
            enqueued, executed = counting.progress(stack, label)
            say(f"   {enqueued} enqueued, {executed} executed so far")
    finally:
        load.stop()
    total = sum(struck.values())
    outcome = Outcome(label, f"{total} faults of {len(struck)} kinds in {minutes:g} minutes")
    outcome.notes.append(", ".join(f"{name} {times}" for name, times in sorted(struck.items())))
    outcome.seconds = wait_done(stack, label, healed, say)
    outcome.late = after_visibility_timeout(stack, label)
    outcome.p50, outcome.p99 = load.answers.percentiles(0, time.monotonic())
    fill_in(outcome, stack, load, label, since)
    return outcome
