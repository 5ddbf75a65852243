"""Your own app in place of the example: without the example apps the project still starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings

from proj.celery import app
from tests.fixtures_worker import Role, database_url, free_port, purge_queues, wait_for

ROOT = Path(settings.BASE_DIR)

#: As the README tells it: two folders, one line of the settings.
FOLDERS = ["apps/accounts", "apps/reports"]
LINE = 'EXAMPLE_APPS = ["apps.accounts", "apps.reports"]'

OWN_TASKS = """
from celery import shared_task

@shared_task
def greet(name):
    return f"hello {name}"
"""


PRINT_TASKS = """
import django, os
os.environ["DJANGO_SETTINGS_MODULE"] = "proj.settings"
django.setup()
from proj import celery_app
celery_app.loader.import_default_modules()
print(*celery_app.tasks)
"""


@pytest.fixture
def own_project(tmp_path: Path) -> Path:
    """Copy the project without the example, with an app of one's own."""
    copy = tmp_path / "own"
    for name in ("proj", "apps", "docker", "k8s", "manage.py"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    for folder in FOLDERS:
        shutil.rmtree(copy / folder)
    own = copy / "apps" / "greetings"
    own.mkdir()
    (own / "__init__.py").touch()
    (own / "tasks.py").write_text(OWN_TASKS)
    settings_file = copy / "proj" / "settings.py"
    text = settings_file.read_text()
    assert text.count(LINE) == 1
    settings_file.write_text(text.replace(LINE, 'EXAMPLE_APPS = ["apps.greetings"]'))
    return copy


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_checks_pass_and_the_own_tasks_are_found(own_project: Path) -> None:
    run(own_project, "manage.py", "check")
    tasks = run(own_project, "-c", PRINT_TASKS).split()
    assert "apps.greetings.tasks.greet" in tasks
    assert not [task for task in tasks if task.startswith(("apps.accounts", "apps.reports"))]


@pytest.mark.django_db(transaction=True)
def test_web_and_worker_start_and_run_the_own_task(own_project: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": database_url(),
        "HEARTBEAT_DIR": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "WEB_BIND": address,
        "WEB_CONCURRENCY": "1",
        "CELERY_WORKER_CONCURRENCY": "1",
    }
    purge_queues()
    with ExitStack() as stack:
        roles = {}
        for name in ("web", "worker"):
            roles[name] = Role(name, [], env, tmp_path / f"{name}.log", cwd=own_project)
            stack.callback(roles[name].stop)
        roles["web"].wait_for_line("Listening at")
        roles["worker"].wait_for_line(" ready.")
        assert wait_for(lambda: status(f"http://{address}/readyz") == 200, "web can serve")
        assert status(f"http://{address}/admin/login/") == 200
        assert status(f"http://{address}/api/docs") == 200
        assert status(f"http://{address}/no-such-page") == 404
        sent = app.send_task("apps.greetings.tasks.greet", ["you"], queue="default")
        assert sent.get(timeout=60) == "hello you"


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_infrastructure_imports_nothing_of_the_example() -> None:
    for path in [*(ROOT / "proj").glob("*.py"), *(ROOT / "apps").glob("*/*.py")]:
        if path.parent.name in {"accounts", "reports"}:
            continue
        for line in path.read_text().splitlines():
            assert not line.startswith(("from apps.accounts", "from apps.reports")), path
