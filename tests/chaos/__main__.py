"""``python -m tests.chaos``: see the package; ``make chaos`` calls it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from . import faults, page, picture, table
from .engine import ChaosError
from .fault import Fault
from .runner import Outcome, run_fault
from .soak import run_soak
from .stack import Stack


def arguments() -> argparse.Namespace:
    """Read the command line; ``make chaos`` hands its variables over through the environment."""
    env = os.environ
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument(
        "--fault", action="append", choices=sorted(faults.BY_NAME),
        default=env.get("FAULT", "").replace(",", " ").split(),
        help="only this one, which may be given more than once; FAULT=",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", action="store_true", default=env.get("BASELINE", "") not in ("", "0"),
        help="the documentation's settings instead of the project's; BASELINE=1",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=int, default=int(env.get("BATCH") or 0),
        help="workers that run so many tasks in one transaction (WORKER_BATCH); BATCH=",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=int(env.get("SEED") or 1), help="for every choice; SEED="
    )
    parser.add_argument(
        "--minutes", type=float, default=float(env.get("MINUTES") or 0),
        help="faults at random for so long, instead of each alone; MINUTES=",
    )  # fmt: skip
    parser.add_argument("--image", default=env.get("APP_IMAGE", ""), help="one that is built")
    options = parser.parse_args()
    if options.batch and options.baseline:
        parser.error("BATCH= goes with this project's settings, not with BASELINE=1")
    if unknown := set(options.fault) - set(faults.BY_NAME):
        parser.error(f"FAULT={' '.join(unknown)}: known are {', '.join(faults.BY_NAME)}")
    return options


def teller(name: str, started: float) -> Callable[[str], None]:
    """Return what prints a line with the time and a name."""

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {name}: {what}", flush=True)

    return say


def tell(outcome: Outcome, say: Callable[[str], None]) -> None:
    """Print how a fault ended, with what was lost."""
    say(
        f"{outcome.enqueued} enqueued, {outcome.executed} executed, {len(outcome.lost)} lost, "
        f"{len(outcome.twice)} twice, {outcome.failed_requests} requests failed"
    )
    for line in outcome.notes:
        say(f"  {line}")
    for word, found in (("lost", outcome.lost), ("twice", outcome.twice)):
        for line in found[:20]:
            say(f"  {word}: {line}")
        if len(found) > 20:
            say(f"  {word}: and {len(found) - 20} more")


def run_all(
    stack: Stack,
    chosen: Sequence[type[Fault]],
    seed: int,
    started: float,
    write: Callable[[Outcome], None],
) -> list[Outcome]:
    """Run each of the faults alone, and *write* each one's outcome as soon as it is known."""
    outcomes = []
    for number, fault in enumerate(chosen, 1):
        say = teller(f"{number}/{len(chosen)} {fault.name}", started)
        try:
            outcome = run_fault(stack, fault(), fault.name, seed, say)
        except ChaosError as error:
            outcome = Outcome(fault.name, fault.what, lost=[str(error)])
        outcomes.append(outcome)
        tell(outcome, say)
        write(outcome)
        if not outcome.good and number < len(chosen):
            stack.reset()
    return outcomes


def main() -> int:
    """Run the faults; return 1 if anything was lost or done twice, or a verb failed a request."""
    # However it ends, the stack is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("chaos: ended by SIGTERM"))
    options = arguments()
    chosen = [faults.BY_NAME[name] for name in options.fault] or [
        fault for fault in faults.ALL if not (options.baseline and fault.verb)
    ]
    made_of = {"baseline": options.baseline, "image": options.image, "batch": options.batch}
    started = time.monotonic()
    say = teller("the stack", started)
    say("is built and started")
    try:
        with Stack(**made_of) as stack:
            facts = stack.facts()
            say("is healthy: " + ", ".join(" ".join(fact) for fact in facts.items()))
            if options.minutes:
                say = teller(f"SEED={options.seed}", started)
                outcomes = [run_soak(stack, options.seed, options.minutes, say)]
                tell(outcomes[0], say)
            else:
                kind = "baseline" if options.baseline else "batch" if options.batch else "faults"

                def write(outcome: Outcome) -> None:
                    page.write(kind, facts, [outcome])
                    picture.write()

                outcomes = run_all(stack, chosen, options.seed, started, write)
    except ChaosError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    print("\n" + table.terminal(outcomes))
    if options.minutes and not options.baseline:
        page.write_soak(outcomes[0])
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
