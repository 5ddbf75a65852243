"""Pages with measured tables: what stands between markers is written here, the words by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import faults
from .files import ROOT
from .runner import Outcome
from .table import markdown

PAGE = ROOT / "docs" / "faults.md"


def write(section: str, facts: Mapping[str, str], outcomes: Sequence[Outcome]) -> None:
    """Write the rows of one run into a section's table; the rows of other faults stay.

    :raises ValueError: the page has no such section.
    """
    write_rows(PAGE, section, markdown(outcomes), [*faults.BY_NAME], below(facts))


def write_soak(outcome: Outcome) -> None:
    """Write the row of one soak into its section; other seeds' rows stay."""
    write_rows(PAGE, "soak", markdown([outcome]), [], "")


def below(facts: Mapping[str, str]) -> str:
    """Return the line below a table that names the versions."""
    return "\nWith " + ", ".join(f"{name} {version}" for name, version in facts.items()) + "."


def write_rows(
    path: Path,
    section: str,
    table: str,
    order: Sequence[str],
    last: str | None,
    columns: int = 1,
) -> None:
    """Write the rows of *table* into a section of a page, over those of the same name.

    :param order: the names; what isn't among them comes after them.
    :param columns: so many columns of a row are its name, joined by a space.
    :param last: what stands below the table; ``None`` for what stands there already.
    :raises ValueError: the page has no such section.
    """
    page = path.read_text("utf-8")
    lines = between(page, section).splitlines()
    old = [line for line in lines if line.startswith("|")]
    if last is None:
        last = "\n".join(line for line in lines if not line.startswith("|"))
    head, rule, *new = table.splitlines()
    rows = {
        " ".join(cell.strip() for cell in line.split("|")[1 : 1 + columns]): line
        for line in [*old[2:], *new]
    }
    place = {name: number for number, name in enumerate(order)}
    names = sorted(rows, key=lambda name: (place.get(name, len(place)), name))
    text = "\n".join((head, rule, *(rows[name] for name in names))) + f"\n{last}"
    path.write_text(replaced(page, section, text), "utf-8")


def _pattern(section: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {section}: [^>]*-->\n)(.*?)(<!-- end of {section} -->)", re.DOTALL)


def between(page: str, section: str) -> str:
    """Return what stands in a section."""
    if not (found := _pattern(section).search(page)):
        raise ValueError(f"the page has no section {section}")
    return found[2].strip()


def replaced(page: str, section: str, text: str) -> str:
    """Return the page with another text in a section."""
    between(page, section)
    return _pattern(section).sub(lambda found: f"{found[1]}\n{text}\n{found[3]}", page)
