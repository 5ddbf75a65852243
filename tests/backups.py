"""A database of a test's own, and deploy/backup/proj-backup as a container runs it."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from deploy.local.postgres import programs

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "deploy" / "backup" / "proj-backup"


def server_url(database: str, **parts: str) -> str:
    """Return the URL of *database* on the tests' server; *parts*: another user, its password."""
    url = urlsplit(os.environ["DATABASE_URL"])
    user, _, host = url.netloc.rpartition("@")
    if parts:
        user = ":".join(map(quote, (parts["user"], parts["password"])))
    return urlunsplit(url._replace(netloc=f"{user}@{host}", path=f"/{quote(database)}"))


class Backups:
    """A folder of dumps of one database."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database
        self.url = server_url(database)
        self.account: pwd.struct_passwd | None = None  # the script's, if not this process' own
        folder.mkdir(exist_ok=True)

    def env(self, **more: str) -> dict[str, str]:
        """Return the script's environment: PostgreSQL's programs, nothing of the tests' own."""
        return {
            "PATH": f"{programs()}:/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": tempfile.gettempdir(),
            "DATABASE_URL": self.url,
            "BACKUP_DIR": str(self.folder),
            "BACKUP_WAIT": "60",
            "BACKUP_ALONE_WITHIN": "60",
            **more,
        }

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start the script in a process group of its own."""
        return subprocess.Popen(
            [SCRIPT, *arguments],
            env=self.env(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            user=self.account and self.account.pw_uid,
            group=self.account and self.account.pw_gid,
        )

    def run(self, *arguments: str, **env: str) -> str:
        """Run the script; return what it said. A status other than 0 fails the test."""
        process = self.start(*arguments, **env)
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, said
        return said

    def refuse(self, *arguments: str, **env: str) -> str:
        """Run the script, which must fail; return what it said."""
        process = self.start(*arguments, **env)
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 1, said
        return said

    def names(self) -> list[str]:
        """Return the dumps, the oldest first."""
        return sorted(path.name for path in self.folder.glob("[!.]*.dump"))

    def dump(self, **env: str) -> str:
        """Make a dump; return its name."""
        before = self.names()
        self.run("dump", **env)
        (new,) = set(self.names()) - set(before)
        return new

    def left(self) -> set[str]:
        """Return what is in the folder beside dumps and what belongs to them."""
        names = {path.name for path in self.folder.iterdir()}
        return {name for name in names if name.startswith(".") or ".dump" not in name}

    def execute(self, statement: str, *params: Any, database: str = "") -> list[tuple[Any, ...]]:
        """Run one statement in the database, or in another one of the server."""
        url = server_url(database or self.database)
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), params or None)
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> set[str]:
        """Return the databases whose names begin with this one's, without it."""
        found = self.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)",
            self.database,
            database="postgres",
        )
        return {name.removeprefix(self.database) for (name,) in found} - {""}

    def make_restores_wait(self) -> None:
        """Have every restore of what is dumped from now on wait, until ``let_restores_go()``.

        A constraint waits for as long as a role exists: roles are there in every database.
        """
        role = f"{self.database}_gate"
        self.execute(GATE.replace("ROLE_NAME", role))

    def let_restores_go(self) -> None:
        """See ``make_restores_wait()``."""
        self.execute(f"DROP ROLE IF EXISTS {self.database}_gate", database="postgres")

    def drop_all(self) -> None:
        """Drop the database, and what the script left beside it."""
        self.let_restores_go()
        with psycopg.connect(server_url("postgres"), autocommit=True) as connection:
            for suffix in {"", *self.databases()}:
                name = sql.Identifier(self.database + suffix)
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


TABLES = """
CREATE TABLE django_migrations (id serial PRIMARY KEY, name text);
CREATE TABLE account (id bigserial PRIMARY KEY, name text, amount numeric DEFAULT 1);
CREATE TABLE booking (id bigserial PRIMARY KEY, account_id bigint REFERENCES account);
INSERT INTO django_migrations (name) VALUES ('0001');
INSERT INTO account (name) SELECT 'n' || i FROM generate_series(1, 500) i;
"""


GATE = """
CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    WHILE EXISTS (SELECT FROM pg_roles WHERE rolname = 'ROLE_NAME') LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN true;
END $$;
CREATE TABLE gated (x int CHECK (public.gate()));
INSERT INTO gated VALUES (1);
CREATE ROLE ROLE_NAME
"""


@pytest.fixture
def backups(tmp_path: Path) -> Iterator[Backups]:
    """Return a small database of its own with an empty folder for its dumps."""
    found = Backups(tmp_path / "backups", f"shop_{secrets.token_hex(4)}")
    found.execute(f"CREATE DATABASE {found.database}", database="postgres")
    try:
        found.execute(TABLES)
        yield found
    finally:
        found.drop_all()
