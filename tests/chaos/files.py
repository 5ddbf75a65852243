"""What a stack of the suite's own is made of: a copy, so that no edit of the tree changes a run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ("compose.yaml", "deploy/compose", "k8s/base/app.env", "tests/chaos")


def copy_files(target: Path) -> None:
    """Copy what compose reads to *target*, but no .env: it could name somebody's real database.

    The probe is mounted from there, so any user may read it, whatever the umask of the clone was.
    """
    for name in FILES:
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
