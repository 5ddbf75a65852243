"""The storage's half of a backup where the other half runs in another container.

    python -m durable.backups.serve

deploy/backup/store.sh writes what it needs into the file ``ask`` in BACKUP_DIR/.store and waits for
``answer``; while this runs, it holds the lock ``serves`` there. One asks at a time, for it holds
``lock``. The commands are those of store.py. Without BACKUP_STORE_URL there is nothing to move, and
it waits.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from obstore.exceptions import BaseError

from . import archive
from .encryption import KeysError
from .store import Storage, StoreError, attempt

PAUSE = 0.2  # seconds
ARCHIVE_EVERY = 10.0  # seconds from one look for new WAL to the next


def stop(signum: int, frame: FrameType | None) -> None:
    """End at once: what is half done has no name yet."""
    sys.exit(0)


def send_archive() -> None:
    """Store new WAL; what fails is tried again at the next look, and the metric's age grows."""
    try:
        if Path(os.environ.get("BACKUP_DIR", "/backups"), "archive").is_dir():
            archive.send(Storage(os.environ))
    except (StoreError, KeysError, BaseError, OSError) as error:
        print(f"backup: the archive is not stored: {str(error).splitlines()[0]}", flush=True)


def serve(folder: Path) -> None:
    """Answer what is asked in *folder*, until a signal ends it."""
    folder.mkdir(exist_ok=True)
    with (folder / "serves").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob("draft-*"):
            shutil.rmtree(left)
        looked = 0.0
        while True:
            if time.monotonic() - looked > ARCHIVE_EVERY:
                send_archive()
                looked = time.monotonic()
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
    if not os.environ.get("BACKUP_STORE_URL"):
        print("backup: BACKUP_STORE_URL is not set: nothing leaves this volume", flush=True)
        signal.pause()
    try:
        serve(Path(os.environ.get("BACKUP_DIR", "/backups")) / ".store")
    except OSError as error:
        sys.exit(f"backup: {error}; BACKUP_DIR must be a folder that this user may write to")
