"""The tables of the pages, and the tests that they name."""

from __future__ import annotations

import re
from pathlib import Path

from .tree import ROOT


def section(page: Path, title: str) -> str:
    """Return the text below the heading *title*."""
    return page.read_text("utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(page: Path, title: str) -> list[list[str]]:
    """Return the rows of the table below the heading *title*, without its head."""
    lines = [line for line in section(page, title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def named_tests(text: str) -> list[tuple[str, str]]:
    """Return the tests that *text* names, as file and function."""
    return re.findall(r"`([\w/.]+\.py)::(\w+)`", text)


def there_is(file: str, name: str) -> bool:
    """Return whether *file* has a function of that name."""
    path = ROOT / file
    return path.is_file() and f"def {name}(" in path.read_text("utf-8")
