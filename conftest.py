"""Gives the tests a real PostgreSQL and a real broker (Valkey), both from PyPI wheels.

They start once a run, in a temporary folder, before Django reads its settings, and stop with it.
``TEST_DATABASE_URL`` and ``TEST_BROKER_URL`` use servers of your own instead.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import cache
from typing import Any

import django
import pytest

from tests.servers import start_postgres, start_valkey, temporary_folder

pytest_plugins = [
    "durable.testing.plugin", "tests.fixtures_worker", "tests.fixtures_durable",
    "tests.cluster.fixtures",
]  # fmt: skip

#: Settings of the project, and what libpq reads by itself.
PREFIXES = (
    *("BACKUP_", "BEAT_", "CELERY_", "DATABASE_", "EMAIL_", "HEARTBEAT_", "LOG_", "DURABLE_"),
    *("HISTORY_", "OPS_", "OTEL_", "PG", "REPORTS_", "RESULTS_", "SECURE_HSTS_", "SENTRY_"),
    *("WEB_", "WORKER_"),
)
NAMES = {
    *("ALLOWED_HOSTS", "APP_ROLE", "BROKER_URL", "CSRF_TRUSTED_ORIGINS", "DEBUG", "HTTPS_ONLY"),
    *("METRICS_TOKEN", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "SILENCED_CHECKS", "SITE_HOST"),
    *("SQL_COMMENTS", "TERMINATION_GRACE_PERIOD", "TRUSTED_PROXIES"),
}


def _prepare_environment() -> None:
    # The settings of the tests come from here alone, whatever a person's .env says.
    os.environ["READ_ENV_FILES"] = "false"
    for name in list(os.environ):
        if name.startswith(PREFIXES) or name.removesuffix("_FILE") in NAMES:
            del os.environ[name]
    # Nothing that the tests start on this machine is reached by a proxy.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))
    # As long as the checks allow: on a busy machine, half a second is no outage of the broker. Not
    # for the benchmarks, which come here without pytest: they measure what is shipped.
    if "PYTEST_VERSION" in os.environ:
        os.environ["BEAT_PUBLISH_TIMEOUT"] = "5"
    folder = temporary_folder()
    os.environ["SECRET_KEY"] = "only-for-tests-" + "x" * 40
    os.environ["ACCOUNT_SIGNUP"] = "true"  # with the example and without it
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

from django.contrib.auth.hashers import PBKDF2PasswordHasher  # noqa: E402 - Django is set up now

from durable.database.text import storable  # noqa: E402
from tests import emptying  # noqa: E402

emptying.install()
PBKDF2PasswordHasher.iterations = 1_000  # a password of a test needs no million of them


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep together, in one of the processes that run side by side, what shares a stack.

    And not beside a browser: it loads a page anew when the engine makes a network. By the text of
    a test's file: pytest-xdist's own groups do nothing with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    groups = {"mark.cluster": "cluster", "mark.container": "engine", "mark.browser": "engine"}

    @cache
    def group_of(path: str) -> str:
        text = (config.rootpath / path).read_text("utf-8")
        return next((group for mark, group in groups.items() if mark in text), path)

    class ByStack(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.split("::")[0])

    return ByStack(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a test has logged be sent from its process, whatever characters it was about."""
    report = yield
    report.sections = [(name, storable(text)) for name, text in report.sections]
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let each process read the settings once its own servers are there, and not before."""
    del os.environ["DJANGO_SETTINGS_MODULE"]
