"""Nothing in the files of settings is unknown to the project, and no default there has drifted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from proj.celery_env import options

ROOT = Path(settings.BASE_DIR)

#: Read by compose, `make run` and the programs themselves, not by the settings.
ELSEWHERE = {
    "PORT", "PUBLISH_ADDRESS", "WORKERS", "WEB_CONCURRENCY", "WORKER_QUEUES",
    "COMPOSE_PROFILES", "BACKUP_AT",
}  # fmt: skip


def assignments(name: str) -> dict[str, str]:
    """Return the NAME=value lines of a file, those that are commented out as well."""
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / name).read_text(), re.MULTILINE)
    return dict(lines)


@pytest.mark.parametrize("file", [".env.example", "k8s/base/app.env"])
def test_every_name_is_read_somewhere(file: str) -> None:
    source = "".join(path.read_text() for path in (ROOT / "proj").glob("*settings.py"))
    for name in assignments(file):
        celerys = name.removeprefix("CELERY_") in options()
        assert celerys or f'"{name}"' in source or name in ELSEWHERE, name


@pytest.mark.parametrize(
    "name",
    [
        "CELERY_RESULT_BACKEND",
        "CELERY_RESULT_EXPIRES",
        "CELERY_TASK_SOFT_TIME_LIMIT",
        "CELERY_TASK_TIME_LIMIT",
        "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT",
        "WORKER_GRACE_PERIOD",
        "OUTBOX_PUBLISH_TIMEOUT",
        "OUTBOX_MAX_STARTS",
        "OUTBOX_DEAD_AFTER",
        "REPORTS_MAX_UPLOAD_MB",
        "REPORTS_EXPIRE_DAYS",
        "DEFAULT_FROM_EMAIL",
    ],
)
def test_a_default_shown_in_the_example_is_the_settings_default(name: str) -> None:
    shown = assignments(".env.example")[name]
    default = getattr(settings, name)
    assert type(default)(shown) == default
