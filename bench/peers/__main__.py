"""This project and its peers on the same work: tasks a second, what they cost, calls a second.

    python -m bench.peers [NAME…] [--rounds 5] [--seconds 4] [--calls 300] [--write]

A task that inserts one row, and one that does nothing; two processes work in each. The peers take
turns, so that all meet the same machine. A queue is filled first, then the worker starts, and what
counts is the last four fifths, by the times that the database gave to the rows. NAME is the
beginning of a peer's name; without one, all run. ``--write`` writes docs/performance.md and its
picture. The peers are installed into .venv-bench.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.servers import start_postgres, temporary_folder

os.environ["TEST_DATABASE_URL"] = start_postgres(temporary_folder())

import conftest  # noqa: F401 - starts a broker, and sets up Django

# isort: split
from django.core.management import call_command
from django.db import connection

from bench import page
from bench.effects import CREATE
from bench.peers import measure, report
from bench.peers.contestants import CONTESTANTS, Contestant
from bench.peers.environment import programs


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of work for each figure")
    parser.add_argument(
        "--calls", type=int, default=300, help="one by one, and ten times as many at once"
    )
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args()


def prepare(contestants: list[Contestant]) -> None:
    """Create the tables of all."""
    programs()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(CREATE)
    for one in {each.adapter: each for each in contestants}.values():
        measure.caller(one, "prepare")


def take_turns(contestants: list[Contestant], asked: argparse.Namespace) -> report.Rounds:
    """Return what each round of each peer was."""
    found: report.Rounds = {one: [] for one in contestants}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(asked.rounds):
            for one in contestants:
                of = measure.calls(one, asked.calls, max(1, asked.calls // 100))
                for task in measure.TASKS:
                    of |= measure.work(one, task, asked.seconds, Path(folder))
                found[one].append(of)
                said = " ".join(f"{key}={report.number(value)}" for key, value in of.items())
                print(f"{turn + 1} {one.name}: {said}", flush=True)
    return found


def main() -> None:
    """Measure, and print or write the table."""
    asked = arguments()
    names = tuple(name.lower() for name in asked.names)
    contestants = [one for one in CONTESTANTS if one.name.lower().startswith(names or ("",))]
    load = os.getloadavg()[0]
    prepare(contestants)
    rounds = take_turns(contestants, asked)
    text = report.text(rounds, asked.seconds, page.load(load))
    print(text)
    if asked.write:
        page.write("bench.peers", text)
        report.draw(report.spreads(rounds))


if __name__ == "__main__":
    main()
