"""`make run` and `make test` make their own environment, with nothing but python3 and make."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .containers import without
from .local_stack import ROOT, Checkout, pings

pytestmark = [pytest.mark.local, pytest.mark.timeout(1200)]
SCRIPT = ROOT / "deploy" / "local" / "venv.py"
OURS = re.compile(
    r"SECRET_KEY|DATABASE_URL|CELERY_.*|READ_ENV_FILES|DJANGO_.*|EMAIL_.*|VIRTUAL_ENV"
)
# pip needs what it is told about mirrors, certificates and proxies.
ENV = {name: value for name, value in os.environ.items() if not OURS.fullmatch(name)}
NO_INDEX = r"NewConnectionError|ConnectTimeout|Temporary failure|Name or service not known"


def locked(*names: str) -> str:
    """Return the part of the real lock that holds *names*."""
    lock = (ROOT / "requirements" / "local.txt").read_text()
    found = [re.search(rf"(?m)^{name}==.*\\\n(?:    --hash.*\n)+", lock) for name in names]
    return "".join(match[0] for match in found if match)


class Small:
    """A project with the real script, and locks of one and of two small packages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script = path / "deploy" / "local" / "venv.py"
        self.script.parent.mkdir(parents=True)
        shutil.copy(SCRIPT, self.script)
        self.lock("local", "vine")
        self.lock("dev", "vine", "amqp")

    def lock(self, group: str, *names: str) -> None:
        (self.path / "requirements").mkdir(exist_ok=True)
        (self.path / "requirements" / f"{group}.txt").write_text(locked(*names))

    def install(self, *arguments: str) -> str:
        """Run the script and return its output."""
        done = self.attempt(*arguments)
        if done.returncode and re.search(NO_INDEX, done.stdout):
            without("the package index can't be reached")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self.script), *arguments]
        return subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)

    def has(self, name: str) -> bool:
        return any((self.path / ".venv").glob(f"lib/python*/site-packages/{name}/__init__.py"))

    def mark(self) -> Path:
        """Leave a file in the virtualenv that goes when it is made anew."""
        mark = self.path / ".venv" / "mark"
        mark.touch()
        return mark


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def test_it_is_made_once_and_then_left_alone(small: Small) -> None:
    said = small.install("local", "run").splitlines()
    assert said[0] == f"Making .venv with Python {sys.version.split()[0]}"
    assert said[1] == "Installing requirements/local.txt into .venv"
    assert re.fullmatch(r"  1 vine==[\d.]+", said[2])
    assert said[3] == "  unpacking 1 packages"
    assert small.has("vine")
    assert small.install("local", "run") == ""


def test_the_tests_environment_goes_on_top_and_serves_the_run_too(small: Small) -> None:
    small.install("local", "run")
    mark = small.mark()
    assert "Making" not in small.install("dev", "test")
    assert small.has("amqp")
    assert small.install("local", "run") == ""
    assert mark.exists()


def test_a_new_lock_makes_it_anew_without_what_went(small: Small) -> None:
    small.install("dev", "test")
    small.lock("dev", "vine")
    small.lock("local", "vine")
    assert "Making" in small.install("dev", "test")
    assert not small.has("amqp")


def test_an_interrupted_installation_is_made_anew(small: Small) -> None:
    small.install("local", "run")
    (small.path / ".venv" / ".installed").unlink()  # it is written last
    mark = small.mark()
    assert "Making" in small.install("local", "run")
    assert not mark.exists()


def test_a_virtualenv_that_was_moved_is_made_anew(small: Small, tmp_path: Path) -> None:
    small.install("local", "run")
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    small.path, small.script = moved, moved / "deploy" / "local" / "venv.py"
    assert "Making" in small.install("local", "run")


def test_a_package_that_differs_from_its_hash_is_refused(small: Small) -> None:
    lock = small.path / "requirements" / "local.txt"
    lock.write_text(re.sub(r"sha256:.{64}", "sha256:" + "0" * 64, locked("vine")))
    done = small.attempt("local", "run")
    if re.search(NO_INDEX, done.stdout):
        without("the package index can't be reached")
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stdout
    assert done.stderr.strip() == (
        "pip could not install requirements/local.txt: its last lines are above, all of them are "
        "in .venv/pip.log"
    )
    small.lock("local", "vine")
    small.install("local", "run")


def test_the_script_can_be_read_by_a_python_that_is_too_old() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    assert "from __future__" not in SCRIPT.read_text()


def pretend(small: Small, preparation: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a Python that *preparation* has changed."""
    code = f"""
        import runpy, sys
        {preparation}
        sys.argv = ["venv.py", "local", "run"]
        runpy.run_path({str(small.script)!r}, run_name="__main__")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)


def test_a_python_that_is_too_old_is_told_what_to_type(small: Small) -> None:
    done = pretend(small, "sys.version_info = (3, 9, 2)")
    assert done.returncode == 1
    assert re.fullmatch(
        rf"{re.escape(sys.executable)} is Python 3\.9, and this project needs 3\.11 or newer\. "
        r"(Type|Install one, then type): make run PYTHON=python3\.\d+\n",
        done.stderr,
    )
    assert not (small.path / ".venv").exists()


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_what_to_install(small: Small, module: str) -> None:
    done = pretend(small, f"sys.modules[{module!r}] = None")
    version = ".".join(str(part) for part in sys.version_info[:2])
    assert done.returncode == 1
    assert done.stderr == (
        f"{sys.executable} can't make a virtualenv: its module venv or ensurepip is missing. "
        f"Install it (on Debian and Ubuntu: apt-get install python{version}-venv), then type: "
        "make run\n"
    )


def test_make_run_does_all_of_it_from_a_fresh_clone(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "proj")
    (checkout.path / ".venv").unlink()
    base = getattr(sys, "_base_executable", sys.executable)
    with checkout.stack(**ENV, PYTHON=base) as stack:
        try:
            stack.until_ready()
        except AssertionError:
            if re.search(NO_INDEX, stack.output):
                without("the package index can't be reached")
            raise
        assert "Installing requirements/local.txt into .venv" in stack.lines
        assert pings(checkout)
