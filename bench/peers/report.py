"""The table and the picture."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.metadata import distributions
from pathlib import Path
from statistics import median, quantiles

from bench import page
from bench.peers.contestants import DOCUMENTED, Contestant
from bench.peers.environment import VENV

PICTURE = page.DOCS / "performance.svg"
PACKAGES = (
    *("celery", "pgqueuer", "procrastinate", "django-tasks-db", "dramatiq", "huey", "rq"),
    "django",
)
TITLES = {"effect": "A task that inserts one row", "nothing": "A task that does nothing"}

STYLE = """
    text { fill: #1a2433 } .s { font-size: 12px; fill: #445 } .h { font-weight: 600 }
    .bar { fill: #9fb3cf } .ours { fill: #2b5fb8 } .range { stroke: #1a2433; stroke-width: 1.5 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e8eef8 } .s { fill: #b7c2d3 } .bar { fill: #4d6180 } .ours { fill: #7da7f0 }
      .range { stroke: #e8eef8 }
    }"""


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and the quartiles."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of *values*."""
        if len(values) == 1:
            return cls(*values * 3)
        low, _, high = quantiles(values, method="inclusive")
        return cls(low, median(values), high)

    def __str__(self) -> str:
        return f"{number(self.middle)} ({number(self.low)}–{number(self.high)})"


Rounds = dict[Contestant, list[dict[str, float]]]
Found = dict[Contestant, dict[str, Spread]]


def spreads(rounds: Rounds) -> Found:
    """Return the spread of each figure."""
    return {
        one: {key: Spread.of([of[key] for of in turns]) for key in turns[0]}
        for one, turns in rounds.items()
    }


def ratio(rounds: Rounds, one: Contestant, other: Contestant) -> Spread:
    """Return how many times as fast *one* is, turn by turn."""
    pairs = zip(rounds[one], rounds[other], strict=True)
    return Spread.of([mine["effect"] / theirs["effect"] for mine, theirs in pairs])


def number(value: float) -> str:
    """Return *value* with three digits that count."""
    if value >= 1000:
        return f"{round(value, -1):,.0f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def versions() -> str:
    """Return the versions of the peers."""
    found = {
        one.name.lower(): one.version
        for one in distributions(path=[str(next(VENV.glob("lib/*/site-packages")))])
    }
    return ", ".join(f"{name} {found[name]}" for name in PACKAGES)


def rows(rounds: Rounds, found: Found) -> list[list[str]]:
    """Return the table's rows, the fastest first."""
    lines = []
    known = DOCUMENTED in found
    for one, of in sorted(found.items(), key=lambda item: -item[1]["effect"].middle):
        lines.append(
            [
                f"**{one.name}**" if one.is_ours else one.name,
                number(ratio(rounds, one, DOCUMENTED).middle) if known else "–",
                *(f"{of[task]}" for task in TITLES),
                *(number(of[f"{task} ms"].middle) for task in TITLES),
                *(number(of[way].middle) if way in of else "–" for way in ("one", "many")),
                one.guarantee,
                "yes" if one.with_caller else "no",
                one.result,
            ]
        )
    return lines


HEAD = [
    *("", "× documentation", "inserts a row, tasks/s", "does nothing, tasks/s"),
    *("CPU ms a task: row", "nothing"),
    *("calls/s, one by one", "1,000 at once"),
    *("killed, a task runs", "committed with its caller's rows", "result"),
]


def same_batch(rounds: Rounds) -> str:
    """Return a sentence for each of ours beside the peer that takes as many rows at a time."""
    return "\n".join(
        f"{ours.name}: {ratio(rounds, ours, peer)} times the tasks that {peer.name}, does."
        for ours in rounds
        for peer in rounds
        if ours.is_ours and not peer.is_ours and ours.batch and ours.batch == peer.batch
    )


def text(rounds: Rounds, seconds: float, load: str) -> str:
    """Return the part of the page."""
    turns = len(next(iter(rounds.values())))
    parts = [
        page.table(HEAD, rows(rounds, spreads(rounds))),
        f"![Tasks a second of each, with the quartiles]({PICTURE.name})",
        same_batch(rounds),
        f"""Measured on {page.machine()}: {turns} rounds in turn, about {seconds:g} s of work for
each figure; the median, and in brackets the quartiles. {load}
Versions: {versions()}.""",
    ]
    return "\n\n".join(part for part in parts if part)


def draw(found: Found, path: Path = PICTURE) -> None:
    """Write the picture: a bar for each, and a line from quartile to quartile."""
    height, left, width = 24, 270, 520
    parts: list[str] = []
    top = 10
    for task, title in TITLES.items():
        order = sorted(found.items(), key=lambda item: -item[1][task].middle)
        scale = width / max(of[task].high for _, of in order)
        top += 20
        parts.append(f'<text class="h" x="10" y="{top}">{title}: tasks a second</text>')
        top += 12
        for one, of in order:
            spread = of[task]
            y = top + height / 2
            bar = spread.middle * scale
            parts += [
                f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(one.name)}</text>',
                f'<rect class="{"ours" if one.is_ours else "bar"}" x="{left}" y="{top + 4}"'
                f' width="{bar:.1f}" height="{height - 8}" rx="2"/>',
                f'<path class="range" d="M{left + spread.low * scale:.1f} {y:.1f}'
                f'H{left + spread.high * scale:.1f}"/>',
                f'<text class="s" x="{left + max(bar, spread.high * scale) + 8:.1f}"'
                f' y="{y + 4:.1f}">{number(spread.middle)}, {one.guarantee.split(";")[0]}</text>',
            ]
            top += height
        top += 16
    body = "\n  ".join(parts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {top}" role="img"'
        ' aria-labelledby="t" font-family="system-ui, sans-serif" font-size="13">\n'
        '  <title id="t">Tasks a second of this project and of its peers</title>\n'
        f"  <style>{STYLE}\n  </style>\n  {body}\n</svg>\n",
        encoding="utf-8",
    )
