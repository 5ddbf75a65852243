"""A file that says "I did my work a moment ago", for docker/healthcheck.

It holds two numbers: when it was written, by the machine's monotonic clock (which no correction of
the time of day can move, and which stands still while the machine sleeps), and for how many
seconds that holds; and, from a role that has several parts to play, a word for which.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)


#: Seconds without a heartbeat after which a role counts as stopped, unless the settings say other.
MAX_AGE = 30


def folder() -> Path:
    """Return where the roles leave their heartbeats: ``HEARTBEAT_DIR``, or the system's folder."""
    return Path(getattr(settings, "HEARTBEAT_DIR", "") or tempfile.gettempdir())


class HeartbeatFile:
    """The heartbeat of one role's process: ``HEARTBEAT_DIR/proj-<role>.heartbeat``.

    :param role: ``worker`` or ``beat``.
    :param least: seconds that a heartbeat counts for at least, if ``HEARTBEAT_MAX_AGE`` is less.
    """

    def __init__(self, role: str, least: float = 0.0) -> None:
        self.path = folder() / f"proj-{role}.heartbeat"
        self.valid = max(getattr(settings, "HEARTBEAT_MAX_AGE", MAX_AGE), least)
        self._failed = False

    def touch(self, part: str = "") -> None:
        """Renew it. A folder that can't be written is logged once and never stops the work.

        :param part: ``leader`` or ``standby``.
        """
        # All of it has a fixed width and go out in one write: a reader sees the old line or
        # the new one. O_NOFOLLOW, since the folder may be one that everybody can write to.
        line = f"{time.monotonic():020.3f} {self.valid:010.1f} {part:8}\n".encode("ascii")
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            file = os.open(self.path, flags, 0o644)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            if not self._failed:
                logger.error(
                    "%s: can't be written (%s); the health check will fail. "
                    "HEARTBEAT_DIR must name a folder of this role's own that it can write to",
                    self.path,
                    error.strerror,
                )
            self._failed = True
        else:
            self._failed = False

    def remove(self) -> None:
        """Forget what an earlier process left behind."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s: can't be removed (%s)", self.path, error.strerror)
