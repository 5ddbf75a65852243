"""What is the package's, what is the project's, and what each of them needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
BIN = Path(sys.executable).parent

DEPTRY = (BIN / "deptry", "--no-ansi")


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        (".", (BIN / "lint-imports", "--no-cache")),
        ("durable", (*DEPTRY, ".")),
        (".", (*DEPTRY, "proj", "apps", "--extend-exclude", ".*/tests/")),
        (".", (*DEPTRY, ".", "--ignore", "DEP002,DEP004")),  # what only development uses, too
    ],
    ids=["layers", "package", "project", "all"],
)
def test_nothing_is_imported_upwards_or_undeclared(folder: str, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT / folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_what_a_person_owns_beside_their_apps_stays_small() -> None:
    files = [*ROOT.glob("proj/**/*.py"), *ROOT.glob("apps/*.py")]
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in files
        if "tests" not in path.parts
    }
    assert sum(lines.values()) <= 1000, lines
