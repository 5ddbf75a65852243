"""The table of docs/settings-checks.md."""

from __future__ import annotations

from .invariant import INVARIANTS


def rows() -> list[str]:
    """Return a row of Markdown for each invariant of this app, in the order of their ids."""
    return [f"| {i.id} | {i.compares} | {i.change} |" for i in sorted(INVARIANTS)]
