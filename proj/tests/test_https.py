"""What HTTPS_ONLY tells browsers, and for which names: what they have heard can't be taken back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings

ASK = """
import django
django.setup()
from django.core.checks import run_checks
from django.test import Client
answer = Client().get("/nothing-here", secure=True, headers={"host": "localhost"})
print(answer.headers.get("Strict-Transport-Security"))
from django.conf import settings
host_only = settings.HTTPS_ONLY and not settings.SITE_PATH
for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME):
    assert name.startswith("__Host-") == host_only, name
found = run_checks(include_deployment_checks=True)
print(*(each.id for each in found if each.id == "security.W005" and not each.is_silenced()))
"""


def told(**environment: str) -> str:
    """Return the header that a browser gets from a process with *environment*."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=settings.BASE_DIR, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, warnings = done.stdout.splitlines()
    assert not warnings
    return header


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({}, "None"),
        ({"HTTPS_ONLY": "true"}, "max-age=31536000"),
        ({"HTTPS_ONLY": "true", "SECURE_HSTS_SECONDS": "60"}, "max-age=60"),
        ({"HTTPS_ONLY": "true", "SECURE_HSTS_SECONDS": "0"}, "None"),
        (
            {"HTTPS_ONLY": "true", "SECURE_HSTS_INCLUDE_SUBDOMAINS": "true"},
            "max-age=31536000; includeSubDomains",
        ),
        ({"SECURE_HSTS_SECONDS": "60"}, "None"),
        ({"HTTPS_ONLY": "true", "SITE_PATH": "/app"}, "max-age=31536000"),
    ],
    ids=lambda value: str(value),
)
def test_browsers_hear_of_this_name_alone_unless_told_otherwise(
    environment: dict[str, str], header: str
) -> None:
    assert told(**environment) == header
