"""``python -m tests.chaos``: see the package; ``make chaos`` calls it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from . import faults, table
from .engine import ChaosError
from .runner import Outcome, run_fault
from .stack import Stack


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--fault", action="append", default=[], choices=sorted(faults.BY_NAME))
    parser.add_argument("--baseline", action="store_true", help="the documentation's settings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--image", default="", help="an image that is built already")
    return parser.parse_args()


def teller(name: str, started: float) -> Callable[[str], None]:
    """Return what prints a line with the time and the fault's name."""

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {name}: {what}", flush=True)

    return say


def main() -> int:
    """Run the faults; return 1 if anything was lost or had its effect twice."""
    options = arguments()
    chosen = [faults.BY_NAME[name] for name in options.fault] or list(faults.ALL)
    started = time.monotonic()
    outcomes: list[Outcome] = []
    say = teller("the stack", started)
    say("is built and started")
    with Stack(baseline=options.baseline, image=options.image) as stack:
        facts = stack.facts()
        say("is healthy: " + ", ".join(f"{name} {version}" for name, version in facts.items()))
        for fault in chosen:
            say = teller(fault.name, started)
            try:
                outcome = run_fault(stack, fault(), fault.name, options.seed, say)
            except ChaosError as error:
                say(f"FAILED: {error}")
                outcome = Outcome(fault.name, fault.what, lost=[str(error)])
            outcomes.append(outcome)
            say(
                f"{outcome.enqueued} enqueued, {outcome.executed} executed, "
                f"{len(outcome.lost)} lost, {len(outcome.twice)} twice"
            )
            for line in (outcome.lost + outcome.twice + outcome.notes)[:20]:
                say(f"  {line}")
    print("\n" + table.terminal(outcomes))
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
