"""The tests of other projects, out of the source distributions that the package index has."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def pip(*arguments: str | Path) -> None:
    """Run pip, which says nothing unless it fails."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def source(name: str, version: str, part: str, packages: tuple[str, ...] = ()) -> Path:
    """Return the folder with that part of a release, and beside it the folder ``packages``.

    Kept below the temporary folder for the next run.

    :param packages: what its tests import, and this project does not.
    """
    folder = Path(tempfile.gettempdir())
    found = folder / f"{name}-{version}-tests"
    if not (found / part).is_dir():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            pip("download", "--no-deps", "--no-binary", name, "--ignore-requires-python",
                "-d", work, f"{name}=={version}")  # fmt: skip
            [archive] = Path(work).glob(f"{name}-*.tar.gz")
            with tarfile.open(archive) as tar:
                tests = [one for one in tar if f"/{part}/" in one.name]
                tar.extractall(work, tests, filter="data")
            [unpacked] = Path(work).glob(f"{name}-*/")
            if packages:
                pip("install", "--no-deps", "--target", unpacked / "packages", *packages)
            unpacked.rename(found)
    return found
