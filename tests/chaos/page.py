"""docs/faults.md: what stands between its markers is written here, the words by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from . import faults
from .runner import Outcome
from .stack import ROOT
from .table import markdown

PAGE = ROOT / "docs" / "faults.md"


def write(section: str, facts: Mapping[str, str], outcomes: Sequence[Outcome]) -> None:
    """Write the rows of one run into a section's table; the rows of other faults stay.

    :raises ValueError: the page has no such section.
    """
    versions = ", ".join(f"{name} {version}" for name, version in facts.items())
    _write_rows(section, outcomes, [*faults.BY_NAME], f"\nWith {versions}.")


def write_soak(outcome: Outcome) -> None:
    """Write the row of one soak into its section; other seeds' rows stay."""
    _write_rows("soak", [outcome], [], "")


def _write_rows(
    section: str, outcomes: Sequence[Outcome], order: Sequence[str], below: str
) -> None:
    page = PAGE.read_text("utf-8")
    old = [line for line in between(page, section).splitlines() if line.startswith("|")]
    head, rule, *new = markdown(outcomes).splitlines()
    rows = {line.split("|")[1].strip(): line for line in [*old[2:], *new]}
    place = {name: number for number, name in enumerate(order)}
    names = sorted(rows, key=lambda name: (place.get(name, len(place)), name))
    text = "\n".join((head, rule, *(rows[name] for name in names))) + f"\n{below}"
    PAGE.write_text(replaced(page, section, text), "utf-8")


def _pattern(section: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {section}: [^>]*-->\n)(.*?)(<!-- end of {section} -->)", re.DOTALL)


def between(page: str, section: str) -> str:
    """Return what stands in a section."""
    if not (found := _pattern(section).search(page)):
        raise ValueError(f"{PAGE.name} has no section {section}")
    return found[2].strip()


def replaced(page: str, section: str, text: str) -> str:
    """Return the page with another text in a section."""
    between(page, section)
    return _pattern(section).sub(lambda found: f"{found[1]}\n{text}\n{found[3]}", page)
