"""Gives the tests a real PostgreSQL and a real broker (Valkey), both from PyPI wheels.

They start once a run, in a temporary folder, before Django reads its settings, and stop with it.
``TEST_DATABASE_URL`` and ``TEST_BROKER_URL`` use servers of your own instead.
"""

from __future__ import annotations

import os

import django

from tests.servers import start_postgres, start_valkey, temporary_folder

pytest_plugins = ["tests.fixtures_worker", "tests.fixtures_outbox", "tests.cluster.fixtures"]


def _prepare_environment() -> None:
    # The settings of the tests come from here alone, whatever a person's .env says.
    os.environ["READ_ENV_FILES"] = "false"
    for name in list(os.environ):
        if name.startswith(("CELERY_", "DATABASE_", "OUTBOX_", "REPORTS_")) or name in {
            "APP_ROLE",
            "DEBUG",
        }:
            del os.environ[name]
    folder = temporary_folder()
    os.environ["SECRET_KEY"] = "only-for-tests-" + "x" * 40
    os.environ["EMAIL_FILE_PATH"] = str(folder / "mail")
    os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or start_postgres(
        folder,
        "fsync=off",  # nothing here has to survive a crash of the machine
    )
    os.environ["CELERY_BROKER_URL"] = os.environ.get("TEST_BROKER_URL") or start_valkey(folder)
    # Here and not in pyproject.toml: from there pytest-django would read the settings too early.
    os.environ["DJANGO_SETTINGS_MODULE"] = "proj.settings"


_prepare_environment()
django.setup()
