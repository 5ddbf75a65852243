"""The storage's half of a backup where the other half runs in another container (compose).

    python -m durable.backups.serve

deploy/backup/store.sh writes what it needs into the file ``ask`` in BACKUP_DIR/.store and waits for
``answer``; while this runs, it holds the lock ``serves`` there. One asks at a time, for it holds
``lock``. The commands are those of store.py.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from .store import attempt

PAUSE = 0.2  # seconds


def stop(signum: int, frame: FrameType | None) -> None:
    """End at once: what is half done has no name yet."""
    sys.exit(0)


def serve(folder: Path) -> None:
    """Answer what is asked in *folder*, until a signal ends it."""
    folder.mkdir(exist_ok=True)
    with (folder / "serves").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        while True:
            try:
                words = (folder / "ask").read_text(encoding="utf-8").split()
            except FileNotFoundError:
                time.sleep(PAUSE)
                continue
            (folder / "ask").unlink()
            succeeded, said = attempt(words, os.environ)
            draft = folder / "answer.draft"
            draft.write_text(f"{'done' if succeeded else 'failed'}\n{said}", encoding="utf-8")
            draft.replace(folder / "answer")


if __name__ == "__main__":
    os.umask(0o027)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        serve(Path(os.environ.get("BACKUP_DIR", "/backups")) / ".store")
    except OSError as error:
        sys.exit(f"backup: {error}; BACKUP_DIR must be a folder that this user may write to")
