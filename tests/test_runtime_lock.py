"""Every role starts from nothing but the runtime lock: what the image installs is enough."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from django.conf import settings

from tests.fixtures_worker import Role, database_url, free_port, wait_for

ROOT = Path(settings.BASE_DIR)
UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="module")
def runtime_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtime")
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    subprocess.run(
        [UV, "pip", "sync", "-q", "--require-hashes", "requirements/runtime.txt"],
        cwd=ROOT,
        env={**os.environ, "VIRTUAL_ENV": str(folder / "venv")},
        check=True,
    )
    return folder / "venv" / "bin"


@pytest.fixture
def env(runtime_bin: Path, tmp_path: Path, transactional_db: None) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{runtime_bin}:/usr/bin:/bin",
        "DATABASE_URL": database_url(),
        "HEARTBEAT_DIR": str(tmp_path),
        "WEB_CONCURRENCY": "1",
        "CELERY_WORKER_CONCURRENCY": "1",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize(("role", "line"), [("worker", " ready."), ("beat", "beat: Starting...")])
def test_worker_and_beat_start(role: str, line: str, env: dict[str, str], tmp_path: Path) -> None:
    process = Role(role, [], env, tmp_path / "log")
    process.wait_for_line(line)
    assert process.stop() == 0


def test_web_starts_and_serves(env: dict[str, str], tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    web = Role("web", [], {**env, "WEB_BIND": address}, tmp_path / "log")
    web.wait_for_line("Listening at")

    def alive() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/livez", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    assert wait_for(alive, "web answers")
    assert web.stop() == 0


def test_migrate_runs_twice(env: dict[str, str], tmp_path: Path) -> None:
    for run in (1, 2):
        migrate = Role("migrate", [], env, tmp_path / f"log-{run}")
        assert migrate.process.wait(240) == 0, migrate.output()
        migrate.stop()


def test_celerys_extra_brings_what_its_redis_transport_imports() -> None:
    """Kombu needs `packaging` through its redis extra alone; a lock without it doesn't start."""
    names = {
        line.partition("==")[0]
        for line in (ROOT / "requirements" / "runtime.txt").read_text().splitlines()
        if "==" in line
    }
    assert {"celery", "redis", "packaging"} <= names
