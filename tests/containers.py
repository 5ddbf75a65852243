"""What the container tests stand on: an engine, an image of this tree, a stack of their own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from .ports import free_port

ROOT = Path(__file__).resolve().parent.parent

#: The engine's and the shell's own; nothing that pytest set for the tests' settings may leak in.
KEPT = {"PATH", "HOME", "LANG", "TMPDIR", "CI", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"}


def clean_env(**more: str) -> dict[str, str]:
    """Return an environment without the settings of the project, and with *more*."""
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith("DOCKER_")}
    return {**kept, **more}


def run(
    *command: str | Path, check: bool = True, timeout: float = 900, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run *command*; if it fails and *check* is set, fail with everything that it said."""
    options.setdefault("env", clean_env())
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, **options
    )
    if check and done.returncode:
        words = " ".join(map(str, command))
        pytest.fail(f"`{words}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    """Return the first true value of *condition*; fail, naming *what*, after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() > end  # before it is asked: this process may have stood still
        if value := condition():
            return value
        if late:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)


def without(reason: str) -> NoReturn:
    """Skip for *reason*; in CI, where an engine must be, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true forbids to skip")
    pytest.skip(reason)


def need_engine() -> None:
    """Skip unless an engine answers (see ``without``)."""
    if not shutil.which("docker"):
        without("docker is not installed")
    if run("docker", "info", check=False, timeout=120).returncode:
        without("no Docker Engine answers (`docker info` says why)")
    need_compose()


def need_compose() -> None:
    """Skip unless Compose is there; it needs no engine to read a file."""
    if not shutil.which("docker") or run("docker", "compose", "version", check=False).returncode:
        without("docker compose is not installed")


def fresh_clone(target: Path) -> Path:
    """Copy what a clone of the work tree would hold to *target*: no .env, no caches, no data.

    As ``umask 077`` leaves it: the containers' users can read none of its files.
    """
    ignored = shutil.ignore_patterns(
        ".git", ".env", ".local", ".venv*", "staticfiles", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, target, ignore=ignored, symlinks=True)
    run("chmod", "-R", "go-rwx", target)
    return target


def inspect(*names: str) -> list[dict[str, Any]]:
    """Return what the engine knows about containers or images."""
    found: list[dict[str, Any]] = json.loads(run("docker", "inspect", *names).stdout)
    return found


class Stack:
    """A compose project under a name, a port and an image tag of its own."""

    def __init__(self, folder: Path, image: str, *layers: str) -> None:
        self.folder = folder
        self.name = f"proj-test-{secrets.token_hex(4)}"
        self.image = image
        self.port = free_port()
        self.env = clean_env(
            COMPOSE_PROJECT_NAME=self.name,
            COMPOSE_FILE=":".join(("compose.yaml", *layers)),
            COMPOSE_PROGRESS="plain",
            APP_IMAGE=image,
            PORT=str(self.port),
        )

    def run(self, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run *command* as a person in the project's folder does."""
        env: Mapping[str, str] = options.pop("env", {})
        return run(*command, cwd=self.folder, env={**self.env, **env}, **options)

    def compose(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose`` with *arguments*."""
        return self.run("docker", "compose", *arguments, **options)

    def up(self, **options: Any) -> None:
        """Start everything, wait until it is healthy; show the logs if it doesn't become so."""
        done = self.compose("up", "--detach", "--wait", "--wait-timeout", "600", check=False)
        if done.returncode:
            logs = self.compose("logs", "--tail", "40", check=False).stdout
            pytest.fail(f"docker compose up --wait failed:\n{done.stderr}\n{logs}")

    def remove(self) -> None:
        """Take everything down, with its data."""
        down = ("down", "--volumes", "--remove-orphans", "--timeout", "5")
        # Without the profiles, their volumes would stay.
        self.compose("--profile", "*", *down, check=False)
        run("docker", "image", "rm", "--force", f"{self.name}:before", check=False)

    def ids(self, *services: str) -> list[str]:
        """Return the ids of the containers that run, oldest first."""
        return self.compose("ps", "--quiet", *services).stdout.split()

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return every container of the project by its service, those that ended too."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in inspect(*ids)}

    def containers_left(self) -> list[str]:
        """Return the ids of all containers that the engine still has of this project."""
        label = f"label=com.docker.compose.project={self.name}"
        return run("docker", "ps", "--all", "--quiet", "--filter", label).stdout.split()

    def manage(self, code: str) -> str:
        """Run Python *code* in the web container with Django set up; return what it prints."""
        command = ("exec", "-T", "web", "python", "manage.py", "shell", "--no-imports", "-c", code)
        return self.compose(*command).stdout.strip()


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fresh clone of this tree."""
    return fresh_clone(tmp_path_factory.mktemp("clone") / "proj")


@pytest.fixture(scope="session")
def image(clone: Path) -> Iterator[str]:
    """Build the image; return its name."""
    need_engine()
    name = f"proj-test:{secrets.token_hex(4)}"
    run(
        "docker", "build", "--quiet", "--file", "docker/Dockerfile", "--tag", name,
        "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc123", ".",
        cwd=clone, timeout=900,
    )  # fmt: skip
    yield name
    run("docker", "image", "rm", "--force", name, check=False)


@pytest.fixture(scope="session")
def stack(image: str, clone: Path) -> Iterator[Stack]:
    """Start the stack once for all tests; a test that breaks something mends it."""
    stack = Stack(clone, image)
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()
