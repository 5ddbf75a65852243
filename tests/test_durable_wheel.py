"""The package's wheel in the project of "First steps with Django", as its README says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from psycopg.conninfo import conninfo_to_dict

from .fixtures_worker import wait_for
from .servers import dying_with_us

ROOT = Path(settings.BASE_DIR)
UV = Path(sys.executable).parent / "uv"
PROJECT = tomllib.loads((ROOT / "durable" / "pyproject.toml").read_text())["project"]
DATABASE = "first_steps"

CELERY = """
import os
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")
{ours}
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
INIT = """
from .celery import app as celery_app

__all__ = ("celery_app",)
"""
TASKS = """
from celery import shared_task
from django.contrib.auth.models import Group

@shared_task
def make_group(name):
    return Group.objects.create(name=name).name
"""
SETTINGS = """
INSTALLED_APPS += ["demoapp"]
DATABASES = {{"default": {{"ENGINE": "durable.database.postgresql", **{database!r}}}}}
CELERY_BROKER_URL = {broker!r}
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5
{ours}
"""
WORKER = ("-m", "celery", "-A", "proj", "worker", "-l", "INFO", "-c", "1")
CALL_AND_WAIT = """
import time
from demoapp.tasks import make_group
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django_celery_results.models import TaskResult
from durable.queue.models import Task

try:
    with transaction.atomic():
        make_group.delay_on_commit("rolled back")
        raise KeyError
except KeyError:
    pass
with transaction.atomic():
    make_group.delay_on_commit("committed")
end = time.monotonic() + 180
while Task.objects.exists() and time.monotonic() < end:
    time.sleep(0.05)
print(*Group.objects.values_list("name"), *TaskResult.objects.values_list("status", "result"))
"""


def readme(file: str) -> str:
    """Return the lines that the package's README adds to *file*, word for word."""
    text = (ROOT / "durable" / "README.md").read_text()
    (lines,) = re.findall(rf"```python\n# {file}\n(.*?)```", text, re.DOTALL)
    return str(lines)


def requirements(name: str) -> list[Requirement]:
    return [Requirement(line) for line in PROJECT["optional-dependencies"].get(name, ())]


class Bare:
    """The project, in a virtualenv that has the wheel and none of what its extras ask for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.bin = folder / "venv" / "bin"
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "LANG": "C.UTF-8"}
        self._install(folder)
        self.folder.mkdir()
        self.type("python", "-m", "django", "startproject", "proj", ".")
        (self.folder / "demoapp").mkdir()
        for name, text in (
            ("proj/celery.py", CELERY.format(ours=readme("proj/celery.py"))),
            ("proj/__init__.py", INIT),
            ("demoapp/__init__.py", ""),
            ("demoapp/tasks.py", TASKS),
        ):
            (self.folder / name).write_text(text)
        server = conninfo_to_dict(os.environ["DATABASE_URL"])
        database = {
            "NAME": DATABASE,
            **{name.upper(): server.get(name, "") for name in ("user", "password", "host", "port")},
        }
        broker = urlsplit(os.environ["CELERY_BROKER_URL"])
        queues = urlunsplit(broker._replace(path="/7"))  # no other test's
        with (self.folder / "proj/settings.py").open("a") as file:
            ours = readme("proj/settings.py")
            file.write(SETTINGS.format(database=database, broker=queues, ours=ours))

    def _install(self, folder: Path) -> None:
        venv = self.bin.parent
        python = ("--python", sys.executable)
        build = (UV, "build", "-q", "--wheel", "--no-build-isolation", *python, "-o", folder)
        subprocess.run([*build, "durable"], cwd=ROOT, check=True)
        subprocess.run([UV, "venv", "-q", *python, venv], check=True)
        (wheel,) = folder.glob("*.whl")
        subprocess.run(
            [UV, "pip", "install", "-q", "--no-deps", "--offline", wheel],
            env={**os.environ, "VIRTUAL_ENV": str(venv)},
            check=True,
        )
        # The rest comes from this run's own environment, without what only an extra asks for.
        (installed,) = venv.glob("lib/python*/site-packages")
        (installed / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
        extras = {
            canonicalize_name(requirement.name)
            for extra in PROJECT["optional-dependencies"]
            for requirement in requirements(extra)
        }
        extras -= {canonicalize_name(Requirement(line).name) for line in requires("django") or ()}
        modules = [
            module
            for module, names in packages_distributions().items()
            if extras & {canonicalize_name(name) for name in names}
        ]
        assert {"structlog", "django_celery_beat"} <= set(modules)
        (installed / "sitecustomize.py").write_text(
            f"import sys\nsys.modules.update(dict.fromkeys({modules}))\n"
        )

    def type(self, *command: str) -> str:
        """Run *command* in the project's folder; return what it printed."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        session.execute(f"CREATE DATABASE {DATABASE}")
        yield Bare(tmp_path_factory.mktemp("wheel"))
        session.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def test_what_the_package_asks_for_is_what_it_is_tested_with() -> None:
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"]:
        wanted += requirements(extra)
    for requirement in wanted:
        assert version(requirement.name) in requirement.specifier, requirement


def test_a_bare_project_with_three_settings_runs_a_durable_task(bare: Bare, tmp_path: Path) -> None:
    bare.type("python", "manage.py", "migrate", "--verbosity", "0")
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        worker = subprocess.Popen(
            [*dying_with_us(signal.SIGTERM), bare.bin / "python", *WORKER],
            cwd=bare.folder, env=bare.env, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_for(
            lambda: " ready." in log.read_text() or worker.poll() is not None, "the worker is ready"
        )
        assert worker.poll() is None, log.read_text()
        said = bare.type("python", "manage.py", "shell", "--no-imports", "-c", CALL_AND_WAIT)
        assert said.strip() == """('committed',) ('SUCCESS', '"committed"')""", log.read_text()
        worker.send_signal(signal.SIGQUIT)  # the orderly stop, durable.stopping
        assert worker.wait(180) == 0, log.read_text()
    finally:
        worker.kill()
    assert "the worker has stopped" in log.read_text()
    assert not re.search(r"ERROR|CRITICAL|Traceback", log.read_text()), log.read_text()


def test_the_other_apps_need_no_setting_either(bare: Bare) -> None:
    apps = [f"durable.{name}" for name in ("checks", "health", "schema")]
    settings = f"from .settings import *\nINSTALLED_APPS += {apps}\n"
    (bare.folder / "proj" / "more.py").write_text(settings)
    code = "from durable.checks.start import found; print(*(message.id for message in found()))"
    said = bare.type("python", "manage.py", "shell", "-c", code, "--settings", "proj.more")
    assert "proj.W105" in said.split()  # the key that startproject made
