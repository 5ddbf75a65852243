"""Nothing in the files of settings is unknown to the project, and no default there has drifted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from durable.accounts.conf import ACCOUNT
from durable.alerts.conf import ALERT, PING
from durable.canary.conf import CANARY
from durable.console.conf import OPS
from durable.environment.celery_settings import options
from durable.environment.reader import Reader
from durable.journal.conf import HISTORY
from durable.results.conf import RESULTS
from durable.schedules.conf import BEAT
from durable.telemetry import conf as telemetry

ROOT = Path(settings.BASE_DIR)

#: Read by compose, `make run` and the programs themselves, not by the settings.
ELSEWHERE = {
    "PORT", "PUBLISH_ADDRESS", "WEB_EGRESS", "WORKER_EGRESS", "POSTGRES_VERSION", "REDIS_IMAGE",
    "SITE_TLS", "ACME_CA", "PROXY_MAX_BODY", "IPV6", "WORKERS",
    "WEB_CONCURRENCY", "WORKER_QUEUES",
    "WORKER_BATCH", "COMPOSE_PROFILES", "BACKUP_AT", "BACKUP_DATABASE_URL", "BACKUP_DRILL_URL",
    "BACKUP_MOMENTS_DAYS", "BACKUP_STORE_URL", "BACKUP_RECIPIENTS", "BACKUP_IDENTITY",
    "BACKUP_ACCESS_KEY_ID",    "BACKUP_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL",
    "MONITORING_DAYS", "GRAFANA_PORT", "PROMETHEUS_PORT",
}  # fmt: skip

PRINT_SETTINGS = """
from django.conf import settings
for name in sorted(dir(settings)):
    if name.isupper():
        print(name, "=", repr(getattr(settings, name)))
"""


def assignments(name: str, before: str = "(?:#(?: e.g. )?)?") -> dict[str, str]:
    """Return the NAME=value lines of a file: with *before* for a regular expression in front."""
    pattern = rf"^{before}([A-Z][A-Z0-9_]*)=(.*)$"
    return dict(re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("file", [".env.example", "k8s/base/app.env"])
def test_every_name_is_read_somewhere(file: str) -> None:
    source = "".join(path.read_text() for path in (ROOT / "proj").glob("*settings.py"))
    parts = (ACCOUNT, ALERT, PING, CANARY, BEAT, HISTORY, OPS, RESULTS)
    declared = {name for part in (*parts, telemetry) for name in part.given(Reader({}))}
    for name in assignments(file):
        celerys = name.removeprefix("CELERY_") in options()
        assert celerys or f'"{name}"' in source or name in ELSEWHERE | declared, name


def read_with(environment: dict[str, str]) -> list[str]:
    """Return all settings as they come from what deployments share, with *environment* over it."""
    given = {"PATH": os.environ["PATH"], "READ_ENV_FILES": "false"}
    given["PYTHONHASHSEED"] = "0"  # sets are printed in one order
    given |= {name: os.environ[name] for name in ("SECRET_KEY", "DATABASE_URL")}
    given |= {"CELERY_BROKER_URL": "redis://nowhere", "DJANGO_SETTINGS_MODULE": "proj.settings"}
    given |= {**assignments("k8s/base/app.env", ""), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PRINT_SETTINGS],
        cwd=ROOT, env=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_to_set_what_the_example_shows_as_defaults_changes_no_setting() -> None:
    shown = {name: value for name, value in assignments(".env.example", "#").items() if value}
    assert len(shown) > 20
    assert read_with(shown) == read_with({})


def test_a_default_that_all_deployments_share_is_the_same_in_the_example() -> None:
    shown, shared = assignments(".env.example", "#"), assignments("k8s/base/app.env", "")
    both = shown.keys() & shared.keys()
    assert len(both) > 3
    assert {name: shown[name] for name in both} == {name: shared[name] for name in both}


def test_the_example_sets_nothing() -> None:
    assert assignments(".env.example", "") == {}
