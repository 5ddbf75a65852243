"""docker/healthcheck, as tests run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

PROGRAM = Path(settings.BASE_DIR) / "docker" / "healthcheck"


class Health(NamedTuple):
    """What a probe said."""

    status: int
    line: str


def healthcheck(*arguments: str, **env: str) -> Health:
    """Run the program by this Python, with nothing in its environment but *env* and the PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [PROGRAM, *arguments],
        env={"PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1, "one line says why"
    return Health(done.returncode, done.stdout)
