"""A compose stack of the suite's own: its name, its port, its image, a copy of its files."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.ports import free_port

from .engine import ChaosError, clean_env, inspect, run, wait_until
from .files import ROOT, copy_files

#: What must be healthy before a fault, and after it.
SERVICES = ("proxy", "web", "worker", "beat", "postgres", "redis")


class Stack:
    """The stack, up between ``with`` and its end, and gone with its data afterwards."""

    def __init__(self, *, baseline: bool = False, image: str = "", batch: int = 0) -> None:
        self.baseline = baseline
        self.batch = batch
        self.workers = 2
        self.name = f"proj-chaos-{secrets.token_hex(4)}"
        self.host, self.port = "127.0.0.1", free_port()
        self.headers: Mapping[str, str] = {}
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        #: A name of its own: faults build other versions under it.
        self.image = f"{self.name}:latest"
        self._given = image

    def __enter__(self) -> Self:
        try:
            copy_files(self.folder)
            if self._given:
                run("docker", "tag", self._given, self.image)
            else:
                run(
                    "docker", "build", "--quiet", "--file", "docker/Dockerfile",
                    "--tag", self.image, ".", cwd=ROOT, timeout=900,
                )  # fmt: skip
            self.up()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    @property
    def env(self) -> dict[str, str]:
        """The environment of compose."""
        layers = ["compose.yaml", "tests/chaos/stack.yaml"]
        if self.baseline:
            layers.append("tests/chaos/baseline.yaml")
        return clean_env(
            COMPOSE_PROJECT_NAME=self.name,
            COMPOSE_FILE=":".join(layers),
            COMPOSE_DISABLE_ENV_FILE="true",
            COMPOSE_PROGRESS="plain",
            APP_IMAGE=self.image,
            WORKERS=str(self.workers),
            PORT=str(self.port),
            CHAOS_BASELINE=str(self.baseline).lower(),
            CHAOS_BATCH=str(self.batch),
        )

    def compose(self, *arguments: str, check: bool = True, timeout: float = 300, **env: str) -> str:
        """Run ``docker compose`` with *arguments*, and *env* over its environment."""
        return run(
            "docker", "compose", *arguments,
            check=check, timeout=timeout, env={**self.env, **env}, cwd=self.folder,
        ).stdout  # fmt: skip

    def script(self, *command: str, timeout: float = 300, **env: str) -> bool:
        """Run a script of the project on the stack; return whether it succeeded."""
        done = run(*command, check=False, timeout=timeout, env={**self.env, **env}, cwd=self.folder)
        return not done.returncode

    def up(self) -> None:
        """Start everything, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--no-build", "--quiet-pull", timeout=600)
        self.wait_healthy()

    def reset(self) -> None:
        """Start anew, without the data: whatever a fault left behind doesn't reach the next one."""
        self._down()
        self.up()

    def _down(self) -> None:
        for paused in self._all("--filter", "status=paused"):
            run("docker", "unpause", paused, check=False)
        down = ("down", "--volumes", "--remove-orphans", "--timeout", "2")
        # Without the profiles, their volumes would stay.
        self.compose("--profile", "*", *down, check=False)
        if left := self._all():
            run("docker", "rm", "--force", "--volumes", *left, check=False)

    def remove(self) -> None:
        """Take everything down, with its data, its image and its files."""
        self._down()
        # `before` is for `make rollback`.
        run("docker", "image", "rm", "--force", self.image, f"{self.name}:before", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _all(self, *filters: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.name}"
        return run("docker", "ps", "--all", "--quiet", "--filter", label, *filters).stdout.split()

    # --- Containers ------------------------------------------------------------------------------

    def ids(self, service: str) -> list[str]:
        """Return the ids of a service's containers, those that don't run too."""
        return self._all("--filter", f"label=com.docker.compose.service={service}")

    def one(self, service: str) -> str:
        """Return the id of a service's only container."""
        (found,) = self.ids(service)
        return found

    def not_healthy(self) -> list[str]:
        """Return what of the stack does not run, or is not healthy."""
        ids = [id_ for service in SERVICES for id_ in self.ids(service)]
        found = []
        for container in inspect(*ids):
            state = container["State"]
            status = state.get("Health", {}).get("Status", "healthy")
            if state["Status"] != "running" or status != "healthy":
                found.append(f"{container['Name'].lstrip('/')} ({state['Status']}, {status})")
        workers = len(self.ids("worker"))
        return found if workers == self.workers else [*found, f"{workers} workers"]

    def wait_healthy(self, seconds: float = 400) -> None:
        """Wait until all of it is healthy and web serves.

        :raises ChaosError: something isn't, with its last lines.
        """
        try:
            wait_until(
                lambda: self.is_ready() and not self.not_healthy(), "everything is healthy", seconds
            )
        except ChaosError as error:
            logs = self.compose("logs", "--tail", "15", check=False)
            raise ChaosError(f"{error}: {', '.join(self.not_healthy())}\n{logs}") from error

    def is_ready(self) -> bool:
        """Return whether web serves, and reaches what it needs."""
        try:
            url = f"http://127.0.0.1:{self.port}/readyz"
            with urllib.request.urlopen(url, timeout=15) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    # --- Processes -------------------------------------------------------------------------------

    def main_pid(self, container: str) -> int:
        """Return the id of a container's process 1, as its host sees it."""
        return int(inspect(container)[0]["State"]["Pid"])

    def children(self, container: str) -> list[int]:
        """Return the host's ids of the processes that a container's process 1 started."""
        main = self.main_pid(container)
        lines = run("docker", "top", container, "-eo", "pid,ppid").stdout.splitlines()[1:]
        pairs = [tuple(map(int, line.split())) for line in lines]
        return sorted(pid for pid, parent in pairs if parent == main)

    def kill(self, *pids: int) -> None:
        """Send SIGKILL to processes of the stack, from outside of their containers."""
        own = [str(pid) for pid in pids if pid > 1]
        run("docker", "exec", self.one("hand"), "sh", "-c", f"kill -9 {' '.join(own)}", check=False)

    def kill_container(self, *containers: str) -> None:
        """Kill the process 1 of containers; the engine then does as their restart policy says."""
        self.kill(*(self.main_pid(container) for container in containers))

    def pause(self, container: str) -> None:
        """Freeze all processes of a container; the kernel keeps its connections alive."""
        run("docker", "pause", container)

    def unpause(self, container: str) -> None:
        """Let a frozen container go on."""
        run("docker", "unpause", container)

    def network(self, action: str, name: str, container: str) -> None:
        """Connect a container to a network of the stack, or disconnect it."""
        run("docker", "network", action, f"{self.name}_{name}", container)

    # --- Stores ----------------------------------------------------------------------------------

    def sql(self, query: str, timeout: float = 60) -> list[list[str]]:
        """Return the rows of a query, as text; it goes through PostgreSQL's own socket."""
        out = run(
            "docker", "exec", self.one("postgres"), "psql", "--username=postgres", "--dbname=proj",
            "--no-psqlrc", "--tuples-only", "--no-align", "--field-separator=\t",
            "--set=ON_ERROR_STOP=1", "--command", query, timeout=timeout,
        ).stdout  # fmt: skip
        return [line.split("\t") for line in out.splitlines() if line]

    def redis(self, *command: str, timeout: float = 60) -> str:
        """Run a command of Redis; return its reply as redis-cli shows it without a terminal."""
        script = (
            'REDISCLI_AUTH=$(cat /run/secrets/proj/password) exec redis-cli --user admin -e "$@"'
        )
        return run(
            "docker", "exec", self.one("redis"), "sh", "-c", script, "redis-cli", *command,
            timeout=timeout,
        ).stdout.strip()  # fmt: skip

    def in_redis_volume(self, script: str) -> None:
        """Run a shell script as root with Redis' data in /data, while Redis doesn't run."""
        run(
            "docker", "run", "--rm", "--network", "none", "--user", "0:0", "--entrypoint", "sh",
            "--volume", f"{self.name}_redis-data:/data", "redis:8", "-ceu", script,
        )  # fmt: skip

    def logs(self, service: str, since: str) -> str:
        """Return what a service said since a time (as ``docker logs --since`` has it)."""
        return self.compose("logs", "--since", since, service, check=False)

    def manage(self, code: str) -> str:
        """Run Python *code* in web with Django set up; return what it prints."""
        return self.version("python", "manage.py", "shell", "--no-imports", "-c", code)

    def version(self, *command: str) -> str:
        """Return what a command in the worker's image prints."""
        return self.compose("exec", "-T", "web", *command).strip()

    def facts(self) -> dict[str, Any]:
        """Return the versions of everything that takes part."""
        names = ("django", "celery", "kombu", "redis", "psycopg")
        code = (
            "import platform; from importlib.metadata import version as v;"
            f"print(platform.python_version(), *[v(n) for n in {names!r}])"
        )
        python, *found = self.version("python", "-c", code).split()
        redis = self.redis("INFO", "server").partition("redis_version:")[2].split()[0]
        postgres = self.sql("SHOW server_version")[0][0].split()[0]
        return {
            "Python": python, "Django": found[0], "Celery": found[1], "kombu": found[2],
            "redis-py": found[3], "psycopg": found[4], "Redis": redis, "PostgreSQL": postgres,
        }  # fmt: skip
