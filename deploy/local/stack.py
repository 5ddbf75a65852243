"""The order of things: servers, migration, roles, health; and back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from durable.environment.reader import Reader, load_env_files

from . import processes
from .errors import StackError
from .folder import Folder
from .output import say, write
from .postgres import Postgres
from .supervisor import Program, Service, ending, run_once
from .valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent.parent
# A program that ended so often before the stack was healthy for the first time won't recover.
TOO_OFTEN = 3
SERVERS_START = 60.0  # seconds
ROLES_START = 120.0  # seconds


async def together(*steps: Coroutine[Any, Any, None]) -> None:
    """Take *steps* at once; when one fails, cancel the others and raise its StackError."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except* StackError as errors:
        raise errors.exceptions[0] from None


class Stack:
    """The stack that `make run` starts."""

    def __init__(self, folder: Folder, port: int) -> None:
        self.folder = folder
        self.port = port
        self.servers: list[Postgres | Valkey] = []
        self.roles: list[Service] = []
        self.services: list[Service] = []
        self.login = ""

    # --- The environment -------------------------------------------------------------------------

    def configure(self) -> None:
        """Decide what is embedded, generate what is missing, write `.local/env`."""
        load_env_files(ROOT / ".env", ROOT / "k8s" / "base" / "app.env")
        run = self.folder.sub("run")
        bin_ = Path(sys.executable).parent
        os.environ.update(
            {
                "PATH": f"{bin_}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "VIRTUAL_ENV": str(bin_.parent),
                "PYTHONUNBUFFERED": "1",
                "WEB_BIND": f"127.0.0.1:{self.port}",
                "HEARTBEAT_DIR": str(run),
                processes.MARK: str(self.folder.path),
            }
        )
        bare = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "TMPDIR", processes.MARK)
            if name in os.environ
        }
        given = Reader()
        generated: dict[str, Callable[[], str]] = {
            "SECRET_KEY": lambda: self.folder.secret("secret-key", 48),
            "DATABASE_URL": lambda: self._embed(Postgres(self.folder, bare, ROOT)),
            "CELERY_BROKER_URL": lambda: self._embed(Valkey(self.folder, bare, ROOT)),
        }
        variables = {}
        if given.boolean("DURABLE_DELAY", False) and given.raw("CELERY_BROKER_URL") is None:
            # Every call is a row then, and PostgreSQL all that is needed.
            del generated["CELERY_BROKER_URL"]
            variables["DURABLE_DELAY"] = "true"
        for name, generate in generated.items():
            if given.raw(name) is None:
                os.environ.pop(f"{name}_FILE", None)
                variables[name] = generate()
            elif path := os.environ.get(f"{name}_FILE"):
                variables[f"{name}_FILE"] = str(Path(path).absolute())
            else:
                variables[name] = os.environ[name]
        for server in self.servers:
            if isinstance(server, Postgres):
                variables["OWNER_DATABASE_URL"] = server.url(user="proj")
                variables["BACKUP_DATABASE_URL"] = server.url(user="proj_backup")
        self.folder.write_env(variables)
        load_env_files(self.folder.path / "env")

    def _embed(self, server: Postgres | Valkey) -> str:
        self.servers.append(server)
        return server.url() if isinstance(server, Postgres) else server.url

    # --- Start -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring everything up and return when all of it is healthy.

        :raises StackError: something doesn't come up; what it said is in the output above.
        """
        begun = time.monotonic()
        await together(*(self.start_server(server) for server in self.servers))
        await self._migrate()
        self._begin_roles()
        await together(self._first_admin(), *(self._until_healthy(role) for role in self.roles))
        self._tell(time.monotonic() - begun)

    async def start_server(self, server: Postgres | Valkey) -> None:
        """Start *server* and return when it answers.

        :raises StackError: it doesn't come up.
        """
        if isinstance(server, Postgres):
            await server.prepare()
        self.services.append(server.service)
        server.service.begin()
        await self._until(server.why_not_ready, server.service, SERVERS_START)

    async def _migrate(self) -> None:
        status = await run_once(self._role("migrate"))
        if status:
            raise StackError(f"migrate {ending(status)}: its lines are above")

    def _role(self, name: str) -> Program:
        command = ["docker/entrypoint.sh", name]
        return Program(name, command, dict(os.environ), ROOT, grace=processes.grace(name))

    def _begin_roles(self) -> None:
        for name in ("web", "worker", "beat"):
            # A heartbeat of the last run would pass for one of this run.
            (self.folder.sub("run") / f"proj-{name}.heartbeat").unlink(missing_ok=True)
            service = Service(self._role(name))
            self.roles.append(service)
            self.services.append(service)
            service.begin()

    async def _until_healthy(self, role: Service) -> None:
        probe = ["docker/healthcheck", role.name, *(["readyz"] if role.name == "web" else [])]

        async def why_not() -> str:
            process = await asyncio.create_subprocess_exec(
                *probe, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await process.communicate()
            return said.decode(errors="replace").strip() if process.returncode else ""

        await self._until(why_not, role, ROLES_START)

    async def _until(
        self, why_not: Callable[[], Awaitable[str]], service: Service, limit: float
    ) -> None:
        """Wait until *why_not* returns nothing.

        :raises StackError: after *limit* seconds, or when *service* ended too often.
        """
        begun = time.monotonic()
        told = begun
        while reason := await why_not():
            for one in self.services:
                if one.ends >= TOO_OFTEN:
                    raise StackError(
                        f"{one.name} ended {one.ends} times before it was ready: its lines are "
                        f"above"
                    )
            now = time.monotonic()
            if now > begun + limit:
                raise StackError(f"{service.name} is not ready after {limit:g} s: {reason}")
            if now > told + 10:
                told = now
                say("local", f"waiting for {service.name}: {reason}")
            await asyncio.sleep(0.25)

    # --- The first admin -------------------------------------------------------------------------

    async def _first_admin(self) -> None:
        kept = self.folder.path / "admin-password"
        if not kept.is_file():
            self.folder.write("admin-password", self.folder.secret("admin-password", 15) + "\n")
            (self.folder.path / "secrets" / "admin-password").unlink()
        password = kept.read_text(encoding="utf-8").strip()
        env = {**os.environ, "ADMIN_PASSWORD": password}
        command = [sys.executable, "-m", f"{__package__}.admin"]
        said: list[str] = []
        program = Program("local", command, env, ROOT)
        status = await run_once(program, said.append)
        if status:
            raise StackError("\n".join([*said, f"creating the first admin {ending(status)}"]))
        where, manage = os.path.relpath(kept), ".venv/bin/python manage.py"
        word, name = said[-1].split()
        self.login = {
            "created": f"{name}, password {password} (kept in {where})",
            "known": f"{name}, password in {where}",
            "changed": f"{name}, with the password that you gave it "
            f"(a new one: {manage} changepassword {name})",
            "others": "the superusers of your database",
            "unknown": f"create an account: {manage} createsuperuser",
        }[word]

    def _tell(self, seconds: float) -> None:
        address = f"http://127.0.0.1:{self.port}{Reader().path('SITE_PATH')}"
        self.folder.note(address)
        mail = "" if os.environ.get("EMAIL_URL") else "\n  Mail      .local/mail (make mail)"
        broker = Reader().raw("CELERY_BROKER_URL")
        ping = ".venv/bin/celery -A proj inspect ping, " if broker else ""
        write(
            f"\n  Ready     {address}  (after {seconds:.1f} s)\n"
            f"  Admin     {address}/admin/\n"
            f"  Log in    {self.login}{mail}\n"
            f"  By hand   {ping}.venv/bin/python manage.py shell\n"
            f"  Stop      Ctrl-C\n\n"
        )

    # --- Stop ------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop the roles, then the broker, then the database."""
        await asyncio.gather(*(role.stop() for role in self.roles))
        for server in sorted(self.servers, key=lambda one: isinstance(one, Postgres)):
            await server.service.stop()
        if lost := processes.left_behind(self.folder.path):
            await asyncio.to_thread(processes.end, lost, signal.SIGTERM, 2)

    def force(self) -> None:
        """Let the roles go without their grace; the servers still write their data."""
        for role in self.roles:
            role.kill()
