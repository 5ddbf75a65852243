"""The repository's files: what git knows and what is new; without git, what it wouldn't ignore."""

from __future__ import annotations

import os
import subprocess
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LIST = ("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others")


def files(*patterns: str) -> list[str]:
    """Return the names of the files that match one of *patterns*, or of all, from the root."""
    command = [*LIST, "--exclude-standard", "--", *patterns]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # no git here, or no clone
        return sorted(name for name in _walked() if _matches(name, patterns))
    names = listed.decode().split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def _walked() -> list[str]:
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    ignored = [".git", *(line.rstrip("/") for line in lines if line and not line.startswith("#"))]
    found = []
    for folder, folders, names in os.walk(ROOT):
        kept = [name for name in folders if not any(fnmatch(name, each) for each in ignored)]
        folders[:] = kept
        found += [str(Path(folder, name).relative_to(ROOT)) for name in names]
    return [n for n in found if not any(fnmatch(Path(n).name, each) for each in ignored)]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatch(name, pattern) for pattern in patterns)
