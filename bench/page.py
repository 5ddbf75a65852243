"""docs/performance.md: each benchmark writes its own part, between two comments."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil
from django.db import connection

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"


def write(name: str, text: str, where: Path = PAGE) -> None:
    """Replace the part of the page *where* that belongs to *name*."""
    page = where.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{where}: expected the lines {begin.strip()!r} and {end.strip()!r}")
    where.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def load(before: float) -> str:
    """Return a sentence: how busy the machine was, with the benchmark itself at the end."""
    return f"The machine's load was {before:.1f} before, and {os.getloadavg()[0]:.1f} at the end."


def machine() -> str:
    """Return what the figures were measured on."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0].split()[0]
    return (
        f"{os.cpu_count()} cores ({cpu[1] if cpu else 'unknown'}), "
        f"{psutil.virtual_memory().total / 2**30:.0f} GB, PostgreSQL {version}, which waits for "
        f"the disk at each commit, and Valkey, all on the one machine"
    )
