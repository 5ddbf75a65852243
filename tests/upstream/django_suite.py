"""Runs Django's own tests of tasks, as they are, with this project's backend in place of its two.

``.venv/bin/python -m tests.upstream.django_suite``; what follows is pytest's (``-k test_context``).
The tests are those of the source distribution: of the installed Django, or for its backport those
of ``RELEASE``, whose copies the backport's are.
"""

from __future__ import annotations

import os
import subprocess
import sys

import django

from .celery_suite import ROOT
from .sources import source

RELEASE = "6.0.10"
OPTIONS = [
    *("-c", os.devnull, "-p", "no:django", "-p", "no:cacheprovider", "-W", "ignore"),
    *("-p", "tests.upstream.django_durable", "--tb", "short", "-rs"),
]


def main() -> int:
    """Run the tests; return pytest's status."""
    version = django.get_version() if django.VERSION >= (6,) else RELEASE
    here = source("django", version, "tests/tasks") / "tests"
    command = [sys.executable, "-m", "pytest", *OPTIONS, f"--rootdir={here}", "tasks"]
    # Some of them call the synchronous interface in a coroutine: Django's backends ask no database.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_ALLOW_ASYNC_UNSAFE": "true"}
    return subprocess.run([*command, *sys.argv[1:]], cwd=here, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
