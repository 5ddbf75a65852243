"""Ends the stack when its supervisor was killed: ``python -m deploy.local.guard FOLDER``.

The supervisor holds the other end of standard input. It says goodbye when it has stopped
everything; when the pipe closes without a word, it died, and this process stops everything in
order. Until then it holds the lock of the folder, so that a new start waits.

(The kernel could signal every child at the death of its parent, PR_SET_PDEATHSIG, but all at once:
a worker that loses its broker while it stops waits for it forever.)
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from . import processes
from .folder import Folder


class Guard:
    """The supervisor's side: the process that outlives it."""

    def __init__(self, folder: Folder, cwd: Path) -> None:
        """Start it, in a session of its own and without the mark of the stack's processes."""
        env = {name: value for name, value in os.environ.items() if name != processes.MARK}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder.path)],
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[folder.lock_fd],
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Say goodbye: everything has stopped."""
        self.process.communicate(b".")


if __name__ == "__main__":
    if not sys.stdin.buffer.read(1):
        processes.end_in_order(Path(sys.argv[1]))
