"""The table: on the terminal, and in docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .runner import Outcome

HEAD = (
    "fault", "what happens", "enqueued", "executed", "lost", "twice", "late", "no result",
    "s until all done", "requests failed", "p50 / p99, ms",
)  # fmt: skip


def cells(outcome: Outcome) -> tuple[str, ...]:
    """Return one row."""
    ended = f" + {outcome.ended} ended" if outcome.ended else ""
    return (
        outcome.name, outcome.what, str(outcome.enqueued), f"{outcome.executed}{ended}",
        str(len(outcome.lost)), str(len(outcome.twice)), str(outcome.late), str(outcome.no_result),
        "never" if outcome.seconds is None else f"{outcome.seconds:.0f}",
        f"{outcome.failed_requests} of {outcome.requests}",
        f"{outcome.p50 * 1000:.0f} / {outcome.p99 * 1000:.0f}",
    )  # fmt: skip


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table for a page."""
    return in_markdown(HEAD, map(cells, outcomes))


def in_markdown(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 2) -> str:
    """Return a table; the first *words* columns are words, the others numbers."""
    lines = [head, (*["---"] * words, *["---:"] * (len(head) - words)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def terminal(outcomes: Sequence[Outcome]) -> str:
    """Return the table for a terminal, without what happens."""
    rows = [(line[0], *line[2:]) for line in (HEAD, *map(cells, outcomes))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((first, *others)).rstrip() + "\n")
    return "".join(lines)
