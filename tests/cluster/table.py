"""docs/kubernetes.md's table of events: the cluster's rows, and compose's below each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..chaos.page import below, write_rows
from ..chaos.runner import Outcome
from ..chaos.table import in_markdown
from . import events

HEAD = (
    "event", "on", "what happens", "requests sent", "failed", "enqueued", "executed", "lost",
    "twice", "no result", "s to recover", "p50 / p99, ms",
)  # fmt: skip
#: Where an event was measured, in the order of the rows.
PLACES = ("cluster", "compose")
APPLIED = "applied"


def cells(place: str, outcome: Outcome) -> tuple[str, ...]:
    """Return one row."""
    return (
        outcome.name, place, outcome.what, str(outcome.requests), str(outcome.failed_requests),
        str(outcome.enqueued), str(outcome.executed), str(len(outcome.lost)),
        str(len(outcome.twice)), str(outcome.no_result),
        "never" if outcome.recovery is None else f"{outcome.recovery:.0f}",
        f"{outcome.p50 * 1000:.0f} / {outcome.p99 * 1000:.0f}",
    )  # fmt: skip


def write(
    page: Path, measured: Sequence[tuple[str, Outcome]], facts: Mapping[str, str] | None
) -> None:
    """Write what was measured into *page*; the rows of other events stay, as do facts."""
    table = in_markdown(HEAD, [cells(*each) for each in measured], words=3)
    names = [f"{name} {place}" for name in (APPLIED, *events.BY_NAME) for place in PLACES]
    write_rows(page, "events", table, names, below(facts) if facts else None, columns=2)
