"""docs/faults.md: what stands between its markers is written here, the words by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .runner import Outcome
from .stack import ROOT
from .table import markdown

PAGE = ROOT / "docs" / "faults.md"


def write(section: str, facts: Mapping[str, str], outcomes: Sequence[Outcome]) -> None:
    """Write the table of one run into its section.

    :raises ValueError: the page has no such section.
    """
    versions = ", ".join(f"{name} {version}" for name, version in facts.items())
    text = f"{markdown(outcomes)}\nWith {versions}."
    PAGE.write_text(replaced(PAGE.read_text("utf-8"), section, text), "utf-8")


def write_soak(outcome: Outcome) -> None:
    """Write the row of one soak into its section; other seeds' rows stay."""
    page = PAGE.read_text("utf-8")
    head, rule, row = markdown([outcome]).splitlines()
    rows = {line.split("|")[1]: line for line in between(page, "soak").splitlines()[2:]}
    rows[row.split("|")[1]] = row
    text = "\n".join((head, rule, *(rows[name] for name in sorted(rows)))) + "\n"
    PAGE.write_text(replaced(page, "soak", text), "utf-8")


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
