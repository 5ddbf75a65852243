"""The disks that this process writes to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from ..line import Line, graded
from ..outside import DISK


def lines() -> Iterator[Line]:
    """Yield a line for each folder on a disk of its own."""
    for folder, share in shares():
        yield Line("disk", folder, graded(share, *DISK), f"{share:.0%} in use",
                   "make room, or give it more")  # fmt: skip


def shares() -> Iterator[tuple[str, float]]:
    """Yield each folder on a disk of its own, and the share of the disk that is in use."""
    folders: list[str | Path] = [
        tempfile.gettempdir(),
        settings.BASE_DIR,
        settings.EMAIL_FILE_PATH or "/",
    ]
    seen: set[int] = set()
    for folder in map(Path, folders):
        if not folder.exists() or folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        usage = shutil.disk_usage(folder)
        yield str(folder), 1 - usage.free / usage.total
