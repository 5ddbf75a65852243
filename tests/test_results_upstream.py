"""django-celery-results' own tests for its database backend pass against this project's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .fixtures_worker import ROOT

UPSTREAM = ROOT / "tests" / "upstream"


@pytest.mark.parametrize("backend", ["this project's", "upstream's"])
def test_upstreams_tests_pass(backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", UPSTREAM / "pytest.ini", UPSTREAM],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.upstream.settings",
            "PYTHONPATH": str(ROOT),
            **({"UPSTREAMS_OWN": "1"} if backend == "upstream's" else {}),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    source = Path(UPSTREAM, "django_celery_results", "test_database.py").read_text()
    assert passed, done.stdout
    assert int(passed[1]) == len(re.findall(r"^    def test_", source, re.MULTILINE))
