"""Your own app in place of the example, by the README's steps, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection

from tests.fixtures_worker import Role, free_port, purge_queues, wait_for
from tests.local_stack import copy_project

ROOT = Path(settings.BASE_DIR)
APP = "yourapp"
DATABASE = "own_app"

# What a person writes for themselves.
MODELS = """
from django.db import models


class Greeting(models.Model):
    text = models.CharField(max_length=100)
"""
TASKS = """
from celery import shared_task

from .models import Greeting


@shared_task
def greet(name):
    Greeting.objects.create(text=f"hello {name}")
"""
ENQUEUE = """
from django.db import transaction
from apps.yourapp.tasks import greet
with transaction.atomic():
    greet.delay_on_commit("you")
"""
PRINT_GREETINGS = (
    "from apps.yourapp.models import Greeting; print(*Greeting.objects.values_list('text'))"
)
PRINT_TASKS = """
from proj import celery_app
celery_app.loader.import_default_modules()
print(*celery_app.tasks)
"""


def section() -> str:
    """Return the README's steps, each on one line."""
    text = (ROOT / "README.md").read_text().split("## Put your own app in its place")[1]
    return text.split("\n## ")[0]


def in_the_readme(pattern: str) -> str:
    """Return what a person is told to type or to write, word for word."""
    found = re.findall(pattern, re.sub(r"\n +", " ", section()))
    assert len(found) == 1, f"{pattern}: {found}"
    return str(found[0])


class Own:
    """A copy of the project, in which a person has taken the steps."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env

    def type(self, *command: str, **variables: str) -> str:
        """Run *command* in the project's folder; return what it printed."""
        done = subprocess.run(
            command, cwd=self.folder, env={**self.env, **variables},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def shell(self, line: str) -> str:
        return self.type("sh", "-ec", line)

    def manage(self, *arguments: str) -> str:
        return self.type(".venv/bin/python", "manage.py", *arguments)

    def python(self, code: str) -> str:
        return self.manage("shell", "--no-imports", "-c", code)

    def pytest(self, *arguments: str) -> str:
        """Run tests of the copy, on the servers of this run and a database of their own."""
        urls = {
            "TEST_DATABASE_URL": self.env["DATABASE_URL"],
            "TEST_BROKER_URL": self.env["CELERY_BROKER_URL"],
        }
        return self.type(".venv/bin/python", "-m", "pytest", "-q", *arguments, **urls)

    def write(self, name: str, old: str | None, new: str) -> None:
        """Put *new* in place of *old*, or of everything."""
        path = self.folder / name
        text = path.read_text()
        assert old is None or text.count(old) == 1, text
        path.write_text(f"{new}\n" if old is None else text.replace(old, new))

    def take_the_steps(self) -> None:
        """Do what the README says, in its order."""
        self.shell(in_the_readme(r"`(mkdir [^`]+)`"))
        self.shell(in_the_readme(r"`(\S+ manage.py startapp [^`]+)`"))
        self.write(f"apps/{APP}/apps.py", f"name = '{APP}'", in_the_readme(r"`(name = [^`]+)`"))
        _, docstring, _ = (self.folder / "proj/own_settings.py").read_text().split('"""')
        own = in_the_readme(r"`(OWN_APPS = [^`]+)`")
        self.write("proj/own_settings.py", None, f'"""{docstring}"""\n\n{own}')
        self.write(f"apps/{APP}/models.py", None, MODELS)
        (self.folder / f"apps/{APP}/tasks.py").write_text(TASKS)
        self.shell(in_the_readme(r"`(\S+ manage.py makemigrations [^`]+)`"))
        self.shell(section().split("```sh\n")[1].split("```")[0])
        example, start = self.folder / ".env.example", "# --- The example ---"
        assert start in example.read_text()
        example.write_text(example.read_text().split(start)[0])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Own:
    folder = copy_project(tmp_path_factory.mktemp("own") / "proj")
    (folder / ".venv").symlink_to(sys.prefix)
    url = urlsplit(os.environ["DATABASE_URL"])
    env = {
        **os.environ,
        "DATABASE_URL": urlunsplit(url._replace(path=f"/{DATABASE}")),
        "PATH": f"{folder / '.venv/bin'}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    own = Own(folder, env)
    own.take_the_steps()
    return own


@pytest.fixture
def database(own: Own, transactional_db: None) -> Iterator[None]:
    """Give the copy an empty database, as it has after a fresh start."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        yield
        cursor.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def test_the_checks_pass_and_only_the_own_tasks_are_found(own: Own) -> None:
    own.manage("check")
    tasks = own.python(PRINT_TASKS).split()
    assert f"apps.{APP}.tasks.greet" in tasks
    assert not [task for task in tasks if task.startswith("apps.reports")]


def test_nothing_that_stays_imports_what_was_removed(own: Own) -> None:
    gone = re.compile(
        r"^\s*(from|import) "
        r"(apps\.reports|bench\.(api_client|csv_files)|duckdb|fsspec)\b"
    )
    left = [p for p in own.folder.rglob("*.py") if ".venv" not in p.relative_to(own.folder).parts]
    assert len(left) > 200
    for path in left:
        for line in path.read_text().splitlines():
            assert not gone.match(line), path


def test_the_examples_packages_are_in_no_group(own: Own) -> None:
    groups = tomllib.loads((own.folder / "pyproject.toml").read_text())["dependency-groups"]
    assert {"local", "dev"} <= set(groups)
    assert "duckdb" not in str(groups)
    assert "example" not in str(groups)
    assert not (own.folder / "requirements" / "example.txt").exists()


def test_all_other_tests_can_be_collected(own: Own) -> None:
    said = own.pytest("--collect-only")
    assert "test_draining.py" in said
    assert "test_browser.py" not in said


def test_the_tests_of_the_settings_and_of_attacks_pass_without_the_example(own: Own) -> None:
    own.pytest(
        "tests/test_documented_settings.py",
        "durable/checks",
        "tests/security/test_headers.py",
        "tests/security/test_bodies.py",
    )


def test_it_migrates_starts_and_runs_the_own_task(own: Own, database: None, tmp_path: Path) -> None:
    own.manage("migrate_once")
    own.manage("makemigrations", "--check")
    address = f"127.0.0.1:{free_port()}"
    env = {
        **own.env,
        "HEARTBEAT_DIR": str(tmp_path),
        "WEB_BIND": address,
        "WEB_CONCURRENCY": "1",
        "CELERY_WORKER_CONCURRENCY": "1",
    }
    purge_queues()
    with ExitStack() as stack:
        roles = {}
        for name in ("web", "worker", "beat"):
            roles[name] = Role(name, [], env, tmp_path / f"{name}.log", cwd=own.folder)
            stack.callback(roles[name].stop)
        roles["web"].wait_for_line("Listening at")
        roles["worker"].wait_for_line(" ready.")
        roles["beat"].wait_for_line("beat: Starting...")
        assert wait_for(lambda: status(f"http://{address}/readyz")[0] == 200, "web can serve")
        # Without a start page of its own it shows the admin.
        assert status(f"http://{address}/") == (200, f"http://{address}/admin/login/?next=/admin/")
        assert status(f"http://{address}/api/docs")[0] == 200
        assert status(f"http://{address}/no-such-page")[0] == 404
        own.python(ENQUEUE)
        wait_for(lambda: "hello you" in own.python(PRINT_GREETINGS), "the own task ran")


def status(url: str) -> tuple[int, str]:
    """Return the status and the address that answered in the end."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status), str(answer.url)
    except urllib.error.HTTPError as error:
        return error.code, url
    except OSError:
        return 0, url
