"""Who runs a row: one name for each worker, made before its pool forks, so that it is shared."""

from __future__ import annotations

import os
import socket
from uuid import uuid4

_worker_id: str | None = None


def worker_id() -> str:
    """Return this worker's name; a process that is no worker gets one of its own."""
    global _worker_id
    if _worker_id is None:
        _worker_id = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:8]}"
    return _worker_id
