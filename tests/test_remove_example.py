"""Your own app in place of the example: without the example apps the project still starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

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


def test_infrastructure_imports_nothing_of_the_example() -> None:
    for path in [*(ROOT / "proj").glob("*.py"), *(ROOT / "apps").glob("*/*.py")]:
        if path.parent.name in {"accounts", "reports"}:
            continue
        for line in path.read_text().splitlines():
            assert not line.startswith(("from apps.accounts", "from apps.reports")), path
