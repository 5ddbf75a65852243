"""The calls that wait, compared with this code's tasks."""

from __future__ import annotations

from collections.abc import Iterator

from durable.contracts.waiting import problems

from ..line import Level, Line


def lines() -> Iterator[Line]:
    """Yield a line for each call that this code can't run."""
    found = problems()
    for problem in found:
        yield Line("tasks", problem.task, Level.WARN, f"{problem.where}: {problem.why}",
                   "bring the old name or signature back, or discard the rows"
                   " (docs/upgrading.md)")  # fmt: skip
    if not found:
        yield Line("tasks", "", Level.OK, "all that waits can be called by this code")
