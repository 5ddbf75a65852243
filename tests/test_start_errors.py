"""A wrong environment ends every way to start with one line, and with a status that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
BIN = Path(sys.executable).parent

WAYS: dict[str, list[str | Path]] = {
    "manage.py": [BIN / "python", "manage.py", "check"],
    "celery worker": [BIN / "celery", "-A", "proj", "worker"],
    "celery beat": [BIN / "celery", "-A", "proj", "beat"],
    "role web": ["docker/entrypoint.sh", "web"],
    "role worker": ["docker/entrypoint.sh", "worker"],
    "role beat": ["docker/entrypoint.sh", "beat"],
    "role migrate": ["docker/entrypoint.sh", "migrate"],
}


def start(way: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "WEB_BIND": "127.0.0.1:0"}
    env |= variables
    return subprocess.run(
        WAYS[way], cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_malformed_setting_stops_the_start_with_one_line(way: str) -> None:
    done = start(way, CELERY_BROKER_URL="redis://:hid/den@127.0.0.1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("CELERY_BROKER_URL=(not shown, it may hold a password): expected")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("variables", "beginning"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set: put a long random text into"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY has 5 characters: expected 32 or more"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set: put postgresql://"),
        ({"CELERY_BROKER_URL": ""}, "CELERY_BROKER_URL is not set: put redis://"),
        ({"CELERY_TASK_TIMELIMIT": "1"}, "CELERY_TASK_TIMELIMIT: Celery has no such setting; did"),
        ({"EMAIL_URL": "carrier-pigeon://x"}, "EMAIL_URL (not shown, it may hold a password): "),
        ({"ALLOWED_HOSTS": "https://a.com"}, "ALLOWED_HOSTS='https://a.com': expected a.com"),
        ({"CSRF_TRUSTED_ORIGINS": "a.com"}, "CSRF_TRUSTED_ORIGINS='a.com': expected https://a.com"),
        ({"BEAT_DATABASE_URL": "mysql://u:p@h/d"}, "BEAT_DATABASE_URL=(not shown, it may hold a"),
        ({"BEAT_LEADER_TIMEOUT": "1"}, "BEAT_LEADER_TIMEOUT='1': expected a whole number, 2 or"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT='xml': expected text or json"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL='loud': expected DEBUG, INFO, WARNING or ERROR"),
        ({"WEB_THREADS": "none"}, "WEB_THREADS='none': expected a whole number, 1 or more"),
        (
            {"DATABASE_POOL_MAX_SIZE": "2", "DATABASE_POOL_MIN_SIZE": "3"},
            "DATABASE_POOL_MIN_SIZE=3: expected at most DATABASE_POOL_MAX_SIZE, which is 2",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(variables: dict[str, str], beginning: str) -> None:
    done = start("manage.py", **variables)
    assert done.returncode == 1
    assert done.stderr.startswith(beginning)
    assert done.stderr.count("\n") == 1


def test_an_old_time_zone_that_was_edited_in_is_refused_with_the_new_name() -> None:
    """The image's Django and PostgreSQL don't know it, this machine's Python may."""
    edited = "import proj.own_settings as own; own.TIME_ZONE = 'US/Eastern'; import proj.settings"
    done = subprocess.run(
        [BIN / "python", "-c", edited], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "TIME_ZONE='US/Eastern': expected America/New_York, today's name of this time zone"
    )


@pytest.mark.parametrize("name", ["WEB_CONCURRENCY", "WEB_THREADS"])
def test_what_gunicorn_reads_is_checked_alike(name: str) -> None:
    done = start("role web", **{name: "two"})
    assert done.returncode == 1
    assert done.stderr.strip() == f"{name}='two': expected a whole number, 1 or more"


@pytest.mark.parametrize("role", ["web", "worker", "beat"])
def test_settings_that_would_lose_work_are_refused_once_and_without_a_traceback(role: str) -> None:
    done = start(
        f"role {role}", WORKER_GRACE_PERIOD="40", CELERY_TASK_REJECT_ON_WORKER_LOST="false"
    )
    assert done.returncode == 1
    said = done.stderr[done.stderr.index(f"{role} does not start") :]
    assert said.splitlines()[0].endswith("its settings would lose or double work.")
    for id_, fix in (
        ("proj.E011", "Leave CELERY_TASK_REJECT_ON_WORKER_LOST at true"),
        ("proj.E021", "Set WORKER_GRACE_PERIOD to 65 or more"),
    ):
        assert done.stderr.count(id_) == 1
        assert fix in said
    assert "Traceback" not in done.stderr


def test_the_database_and_the_broker_may_be_away_while_the_settings_are_checked() -> None:
    """Above all a start during an outage must not hang; and what is wrong is still said."""
    done = start(
        "role worker",
        DATABASE_URL="postgresql://192.0.2.1/none",
        CELERY_BROKER_URL="redis://192.0.2.1",
        WORKER_GRACE_PERIOD="40",
    )
    assert done.returncode == 1
    assert "proj.E021" in done.stderr


def test_a_command_typed_by_hand_is_not_refused() -> None:
    assert start("manage.py", WORKER_GRACE_PERIOD="40").returncode == 0


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_make_up_names_another_encoding_of_env_before_compose_prints_the_line(
    tmp_path: Path, encoding: str
) -> None:
    up = tmp_path / "deploy" / "compose" / "up"
    up.parent.mkdir(parents=True)
    up.write_bytes((ROOT / "deploy" / "compose" / "up").read_bytes())
    (tmp_path / ".env").write_text("SECRET_KEY=hidden-größe\n", encoding=encoding)
    done = subprocess.run(["sh", up], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "up: .env is not UTF-8 but perhaps UTF-16 or Latin-1; save it as UTF-8\n"
    )


def test_a_worker_takes_from_the_queues_that_the_settings_read(tmp_path: Path) -> None:
    for name in ("celery", "python"):
        (tmp_path / name).write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    for batch in "01":
        done = start("role worker", PATH=path, WORKER_QUEUES="default, mail ", WORKER_BATCH=batch)
        assert "<-Q><default,mail>" in done.stdout
