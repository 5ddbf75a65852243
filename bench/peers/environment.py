"""``.venv-bench``: the project's runtime and its peers, as requirements/bench.txt lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "bench.txt"
VENV = ROOT / ".venv-bench"
STAMP = VENV / "lock"


def uv(*words: str | Path) -> None:
    """Run the uv beside this Python."""
    subprocess.run([Path(sys.executable).with_name("uv"), *words], check=True, timeout=600)


def programs() -> Path:
    """Return the folder of the environment's programs; install them where the lock is another."""
    if not (STAMP.is_file() and STAMP.read_bytes() == LOCK.read_bytes()):
        uv("venv", "--quiet", "--clear", "--python", sys.executable, VENV)
        python = VENV / "bin" / "python"
        uv("pip", "sync", "--quiet", "--require-hashes", "--python", python, LOCK)
        STAMP.write_bytes(LOCK.read_bytes())
    return VENV / "bin"
