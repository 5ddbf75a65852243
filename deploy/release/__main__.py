"""Makes a release out of what is committed: ``python -m deploy.release 0.1.0`` (make release).

It writes the version, the date into the changelog and the list of the release's tasks, commits, and
tags. Nothing is pushed: the last line says how. The workflow `release` does the rest at the tag.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CHANGELOG = ROOT / "durable" / "CHANGELOG.md"
#: Where the version stands; a test holds them to be the same.
VERSIONS = {
    ROOT / "durable" / "__init__.py": r'^__version__ = "(.*)"$',
    ROOT / "pyproject.toml": r'^version = "(.*)"$',
}
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
UNRELEASED = "## Unreleased\n"


class ReleaseError(SystemExit):
    """No release can be made; the process ends with this text."""


def git(*arguments: str) -> str:
    """Return what git prints."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"release: git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def check(version: str) -> None:
    """Refuse a version that can't be one, or a clone that isn't ready."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"VERSION={version!r}: expected a version: make release VERSION=0.1.0")
    if git("status", "--porcelain"):
        raise ReleaseError("release: there are changes that aren't committed: git status")
    if git("tag", "--list", f"v{version}").strip():
        raise ReleaseError(f"release: v{version} exists already: take a higher one")
    changes = CHANGELOG.read_text("utf-8").partition(UNRELEASED)[2].partition("\n## ")[0]
    if not changes.strip():
        raise ReleaseError(f"release: {CHANGELOG.relative_to(ROOT)} has nothing under Unreleased")


def write(version: str) -> None:
    """Write what a release changes in the files."""
    for path, pattern in VERSIONS.items():
        text = path.read_text("utf-8")
        line = re.search(pattern, text, re.MULTILINE)
        if line is None:
            raise ReleaseError(f"release: {path.relative_to(ROOT)} has no line {pattern}")
        path.write_text(text[: line.start(1)] + version + text[line.end(1) :], "utf-8")
    text = CHANGELOG.read_text("utf-8")
    dated = f"{UNRELEASED}\n## {version} – {datetime.now(UTC):%Y-%m-%d}\n"
    CHANGELOG.write_text(text.replace(UNRELEASED, dated, 1), "utf-8")
    # Nothing behind these addresses is asked.
    nowhere = {
        "READ_ENV_FILES": "false",
        "SECRET_KEY": "only-for-the-list-of-tasks-which-starts-no-server",
        "DATABASE_URL": "postgresql://nowhere/none",
        "CELERY_BROKER_URL": "redis://nowhere",
    }
    command = [sys.executable, "manage.py", "check_tasks", "--write"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **nowhere}, check=False)
    if done.returncode:
        raise ReleaseError("release: the list of tasks can't be written; git checkout . undoes it")


def main(arguments: list[str]) -> None:
    """Make the release whose version is the one argument."""
    version = arguments[0] if arguments else ""
    check(version)
    write(version)
    git("commit", "--all", "--message", f"Release {version}")
    git("tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    print(f"v{version} is committed and tagged. Look at it (git show), then: "
          "git push --follow-tags")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
