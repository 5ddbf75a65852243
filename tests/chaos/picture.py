"""docs/faults.svg: what both tables of docs/faults.md say, to look at.

Drawn from the page and not from a run, so the picture can't say anything else than the tables do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from . import faults, page

#: Pixels: the whole width, a row, where a bar begins and how long the longest is.
WIDTH, ROW, LEFT, LONGEST = 900, 21, 185, 430
TOP, BOTTOM = 92, 34
#: What is drawn, by the tables' columns.
KINDS = {"lost": "lost", "twice": "run twice", "late": "stuck for an hour"}

STYLE = """
    text { fill: #1a2433 } .s { font-size: 12px; fill: #445 } .h { font-weight: 600 }
    .lost { fill: #c62828 } .twice { fill: #7b3fb8 } .late { fill: #c77700 }
    .ok { fill: #2e7d32; font-weight: 600 } .line { stroke: #d5dbe5 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e8eef8 } .s { fill: #b7c2d3 } .line { stroke: #34415a }
      .lost { fill: #ff6b61 } .twice { fill: #b98af0 } .late { fill: #f0b14a } .ok { fill: #7cc48a }
    }
"""


@dataclass(frozen=True)
class Row:
    """One fault's counts of tasks."""

    enqueued: int
    lost: int
    twice: int
    late: int

    @property
    def harmed(self) -> int:
        """Tasks that did not run once and in time."""
        return self.lost + self.twice + self.late


def rows(text: str, section: str) -> dict[str, Row]:
    """Return the counts that stand in a section's table, by the fault's name.

    :raises ValueError: the page has no such section.
    """
    lines = [line for line in page.between(text, section).splitlines() if line.startswith("|")]
    head, _, *others = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    found = (dict(zip(head, cells, strict=True)) for cells in others)
    columns = ("enqueued", "lost", "twice", "late")
    return {row["fault"]: Row(*(int(row[column]) for column in columns)) for row in found}


def draw(ours: dict[str, Row], documented: dict[str, Row]) -> str:
    """Return the picture: a line for each fault that both tables have."""
    names = [name for name in faults.BY_NAME if name in ours and name in documented]
    most = max((documented[name].harmed for name in names), default=0)
    parts = [text for number, name in enumerate(names) for text in line(
        TOP + number * ROW, name, ours[name], documented[name], LONGEST / max(most, 1)
    )]  # fmt: skip
    height = TOP + len(names) * ROW + BOTTOM
    harmed, enqueued = total(ours, names), sum(ours[name].enqueued for name in names)
    says = (
        f"Of {enqueued} tasks under {len(names)} faults this project lost, doubled or held back "
        f"{harmed}; the documentation's settings {total(documented, names)} "
        f"of {sum(documented[name].enqueued for name in names)}."
    )
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="13">',
        '  <title id="t">What each fault did to the tasks</title>',
        f'  <desc id="d">{escape(says)}</desc>',
        f"  <style>{STYLE}  </style>",
        *heading(),
        *parts,
        f'  <text class="s" x="12" y="{height - 11}">{escape(says)}</text>',
        "</svg>",
        "",
    ))  # fmt: skip


def total(table: dict[str, Row], names: Iterable[str]) -> int:
    """Return how many tasks were harmed in all."""
    return sum(table[name].harmed for name in names)


def heading() -> Iterator[str]:
    """Give the columns' names and the legend."""
    yield '  <text class="h" x="12" y="26">Tasks that did not run exactly once, and in time</text>'
    x = LEFT
    for kind, words in KINDS.items():
        yield f'  <rect class="{kind}" x="{x}" y="40" width="12" height="12"/>'
        yield f'  <text class="s" x="{x + 18}" y="50">{words}</text>'
        x += 30 + 8 * len(words)
    yield f'  <text class="h" x="12" y="{TOP - 14}">fault</text>'
    yield f'  <text class="h" x="{LEFT}" y="{TOP - 14}">the documentation\'s settings</text>'
    yield f'  <text class="h" x="{WIDTH - 12}" y="{TOP - 14}" text-anchor="end">this project</text>'


def line(y: int, name: str, ours: Row, documented: Row, scale: float) -> Iterator[str]:
    """Give one fault's line.

    :param scale: pixels a task.
    """
    yield f'  <path class="line" d="M12 {y - 4}H{WIDTH - 12}"/>'
    yield f'  <text x="12" y="{y + 11}">{escape(name)}</text>'
    x = float(LEFT)
    for kind in KINDS:
        if count := getattr(documented, kind):
            width = max(count * scale, 2.0)  # one task of hundreds is to be seen
            yield f'  <rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="13"/>'
            x += width
    words = f"{documented.harmed} of {documented.enqueued}"
    beside = x + 6 if documented.harmed else LEFT
    yield f'  <text class="s" x="{beside:.1f}" y="{y + 11}">{words}</text>'
    kind = "lost" if ours.harmed else "ok"
    yield (
        f'  <text class="{kind}" x="{WIDTH - 12}" y="{y + 11}" text-anchor="end">'
        f"{ours.harmed} of {ours.enqueued}</text>"
    )


def picture_of(path: Path) -> Path:
    """Return where the picture of a page stands."""
    return path.with_suffix(".svg")


def write() -> None:
    """Draw the page's tables into the file beside it."""
    text = page.PAGE.read_text("utf-8")
    svg = draw(rows(text, "faults"), rows(text, "baseline"))
    picture_of(page.PAGE).write_text(svg, "utf-8")
