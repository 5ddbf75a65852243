"""The caller: ``python -m bench.peers.fill ADAPTER prepare | rates ONE MANY | TASK COUNT MARKS``.

``rates`` prints calls a second as JSON: one by one, each in a transaction of its own, and 1,000 by
one call. A task's name fills the queue with it: of those that do nothing, MARKS are marked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import django

from bench.peers.work import NOT_MARKED

MANY = 1000


def labels(task: str, count: int, marks: int) -> Iterator[int]:
    """Yield the label of each call."""
    every = max(1, count // marks)
    for number in range(count):
        yield number if task == "effect" or number % every == 0 else NOT_MARKED


def rates(adapter: Any, one: int, many: int) -> dict[str, float]:
    """Return the calls a second."""
    adapter.call("nothing", NOT_MARKED)  # it connects
    begin = time.perf_counter()
    for _ in range(one):
        adapter.call("nothing", NOT_MARKED)
    found = {"one": one / (time.perf_counter() - begin)}
    if hasattr(adapter, "call_many"):
        begin = time.perf_counter()
        for _ in range(many):
            adapter.call_many("nothing", [NOT_MARKED] * MANY)
        found["many"] = many * MANY / (time.perf_counter() - begin)
    return found


def fill(adapter: Any, task: str, count: int, marks: int) -> None:
    """Call *task* so often, in the order of the labels."""
    todo = list(labels(task, count, marks))
    if hasattr(adapter, "call_many"):
        for first in range(0, count, MANY):
            adapter.call_many(task, todo[first : first + MANY])
    else:
        for label in todo:
            adapter.call(task, label)


def main() -> None:
    """Do what the command line says."""
    name, what, *numbers = sys.argv[1:]
    django.setup()
    adapter = import_module(f"bench.peers.adapters.{name}")
    if what == "prepare":
        getattr(adapter, "prepare", lambda: None)()
    elif what == "rates":
        print(json.dumps(rates(adapter, *map(int, numbers))))
    else:
        fill(adapter, what, *map(int, numbers))


if __name__ == "__main__":
    main()
