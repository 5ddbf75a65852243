"""Who has a role's password has that role's rights in PostgreSQL, and no more.

On a real server, with the roles of deploy/postgres/roles.sql and the schema of the role `migrate`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from deploy.local.postgres import ROLES, programs
from tests.backups import server_url

ROOT = Path(__file__).resolve().parent.parent
PASSWORDS = {"proj": "owner_password", "proj_app": "app_password", "proj_backup": "backup_password"}
REFUSED = (errors.InsufficientPrivilege, errors.UndefinedObject)


class Database:
    """The database `proj`, whose schema was migrated, as each of its roles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.make_roles()

    def make_roles(self) -> None:
        """Set the roles' passwords, new ones each time, as a rotation does."""
        for name in PASSWORDS.values():
            (self.folder / name).write_text(secrets.token_urlsafe())
        self.psql("-f", str(ROLES))

    def psql(self, *arguments: str) -> str:
        command = [str(programs() / "psql"), "-qXAt", "-d", server_url("postgres"), *arguments]
        env = {"PATH": os.environ["PATH"], "PASSWORDS": str(self.folder)}
        return subprocess.run(
            command, env=env, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    def url(self, role: str, database: str = "proj") -> str:
        password = (self.folder / PASSWORDS[role]).read_text()
        return server_url(database, user=role, password=password)

    def migrate(self, application: str = "") -> str:
        env = {
            **os.environ,
            "APP_ROLE": "migrate",
            "DATABASE_URL": application or self.url("proj_app"),
            "OWNER_DATABASE_URL": self.url("proj"),
            "BACKUP_DATABASE_URL": self.url("proj_backup"),
        }
        command = [sys.executable, "manage.py", "migrate_once"]
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    def run(self, role: str, statement: str, database: str = "proj") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(role, database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    found = Database(tmp_path_factory.mktemp("passwords"))
    assert "Privileges: proj_app, proj_backup may do what they need" in found.migrate()
    yield found
    found.psql("-c", "DROP DATABASE proj WITH (FORCE)", "-c", "CREATE DATABASE proj OWNER proj")


@pytest.mark.parametrize(
    "attack",
    [
        "COPY durable_task FROM PROGRAM 'id'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT * FROM pg_authid",
        "SELECT lo_import('/etc/passwd')",
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION citext",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        "ALTER ROLE proj PASSWORD 'mine'",
        "ALTER ROLE proj_app SUPERUSER",
        "SET ROLE proj",
        "GRANT proj TO proj_app",
        "ALTER TABLE durable_task DISABLE TRIGGER ALL",
        "DROP TABLE durable_task",
        "UPDATE durable_static_file SET content = ''",
        "TRUNCATE durable_task",
        "DROP DATABASE proj",
        "ALTER SYSTEM SET fsync = off",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_reload_conf()",
    ],
)
def test_with_the_credentials_of_web_nothing_but_rows_can_be_reached(
    database: Database, attack: str
) -> None:
    with pytest.raises(REFUSED):
        database.run("proj_app", attack)


def test_the_application_reads_and_writes_rows_of_tables_old_and_new(database: Database) -> None:
    database.run("proj", "CREATE TABLE later (id bigserial PRIMARY KEY, name text)")
    for table in ("later", "auth_group"):
        for statement in ("INSERT INTO {} (name) VALUES ('a')", "UPDATE {} SET name = 'b'"):
            database.run("proj_app", statement.format(table))
        assert database.run("proj_app", f"DELETE FROM {table} RETURNING name") == [("b",)]  # noqa: S608
    database.run("proj", "DROP TABLE later")
    database.run("proj_app", "TRUNCATE durable_journal_0")  # a day that is over


def test_the_application_sees_since_when_another_roles_transaction_runs_and_not_what(
    database: Database,
) -> None:
    with psycopg.connect(database.url("proj_backup")) as other:
        [(pid, _)] = other.execute("SELECT pg_backend_pid(), 'a secret'").fetchall()
        seen = "SELECT xact_start IS NOT NULL FROM {} WHERE pid = {}"
        assert database.run("proj_app", seen.format("durable_sessions()", pid)) == [(True,)]
        hidden = "SELECT query LIKE '%secret%' FROM {} WHERE pid = {}"
        assert database.run("proj_app", hidden.format("pg_stat_activity", pid)) == [(False,)]
        with pytest.raises(psycopg.errors.UndefinedColumn):
            database.run("proj_app", "SELECT query FROM durable_sessions()")


@pytest.mark.parametrize(
    "attack",
    [
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "DELETE FROM durable_task",
        "UPDATE auth_user SET is_superuser = true",
        "CREATE TABLE mine ()",
        "DROP DATABASE proj",
        "ALTER DATABASE proj RENAME TO mine",
        "SET ROLE proj",
    ],
)
def test_a_backup_reads_everything_and_changes_its_own_list_alone(
    database: Database, attack: str
) -> None:
    with pytest.raises(REFUSED):
        database.run("proj_backup", attack)
    database.run("proj_backup", "SELECT count(*) FROM auth_user")
    database.run("proj_backup", "INSERT INTO durable_backups_backup (file) VALUES ('a')")
    database.run("proj_backup", "DELETE FROM durable_backups_backup")


def test_the_owner_has_no_rights_beyond_its_database(database: Database) -> None:
    for attack in ("COPY (SELECT 1) TO PROGRAM 'id'", "CREATE ROLE mine", "SET ROLE postgres"):
        with pytest.raises(REFUSED):
            database.run("proj", attack)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        database.run("proj_app", "SELECT 1", database="postgres")


def test_dump_drill_and_restore_need_no_superuser(database: Database, tmp_path: Path) -> None:
    """A restored database is as closed as the one before, once the role migrate was there."""
    backup = {"DATABASE_URL": database.url("proj_backup"), "BACKUP_DIR": str(tmp_path)}
    kept = {"PATH": f"{programs()}:{os.environ['PATH']}", "BACKUP_ALONE_WITHIN": "60"}

    def run(*command: str, **env: str) -> None:
        script = [str(ROOT / "deploy/backup/proj-backup"), *command]
        done = subprocess.run(
            script, env={**kept, **backup, **env}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("nightly")
    (dump,) = (path.name for path in tmp_path.glob("*.dump"))
    assert database.run("proj_app", "SELECT proven_at IS NOT NULL FROM durable_backups_backup") == [
        (True,)
    ]
    run("restore", dump, DATABASE_URL=database.url("proj"))
    database.migrate()
    database.run("proj_app", "SELECT count(*) FROM durable_task")
    for attack in ("CREATE TEMPORARY TABLE mine ()", "TRUNCATE durable_task"):
        with pytest.raises(REFUSED):
            database.run("proj_app", attack)


def test_a_rotation_changes_each_password_and_nothing_else(database: Database) -> None:
    old = database.url("proj_app")
    database.make_roles()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(old)
    assert database.run("proj_app", "SELECT current_user") == [("proj_app",)]


def test_the_role_that_stands_in_during_a_clusters_rotation_leaves_nothing_behind(
    database: Database, tmp_path: Path
) -> None:
    loader = SourceFileLoader("rotate_secret", str(ROOT / "deploy" / "k8s" / "rotate-secret"))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    script = module_from_spec(spec)
    loader.exec_module(script)
    role = f"{script.STAND_IN}test"
    database.psql("-c", script.CREATE_STAND_IN.format(role=role, password="secret"))
    url = server_url("proj", user=role, password="secret")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT current_user").fetchall() == [("proj_app",)]
    database.migrate(application=url)  # the pods that start with this URL do
    (tmp_path / "drop.sql").write_text(script.DROP_STAND_INS)
    database.psql("-d", server_url("proj"), "-f", str(tmp_path / "drop.sql"))
    left = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'proj_rotation_')"
    assert database.psql("-c", left) == ""


def test_the_administrator_of_a_managed_server_makes_the_same_roles(
    database: Database, tmp_path: Path
) -> None:
    """Who is no superuser, on the same server: so the roles have other names there."""
    (tmp_path / "roles.sql").write_text(ROLES.read_text().replace("proj", "rented"))
    database.psql("-c", "CREATE ROLE landlord LOGIN CREATEROLE CREATEDB PASSWORD 'secret'",
                  "-c", "GRANT pg_read_all_data TO landlord WITH ADMIN OPTION",
                  "-c", "GRANT CONNECT ON DATABASE postgres TO landlord")  # fmt: skip
    url = server_url("postgres", user="landlord", password="secret")
    for _ in range(2):  # the second time is a rotation
        database.psql("-d", url, "-f", str(tmp_path / "roles.sql"))
    attributes = "SELECT rolname, rolsuper OR rolcreaterole OR rolreplication, rolcreatedb FROM"
    made = f"{attributes} pg_roles WHERE starts_with(rolname, 'rented') ORDER BY 1"
    assert database.psql("-c", made).split() == [
        "rented|f|t", "rented_app|f|f", "rented_backup|f|t",
    ]  # fmt: skip
    passwords = {role: (database.folder / name).read_text() for role, name in PASSWORDS.items()}
    for role, password in passwords.items():
        name = role.replace("proj", "rented")
        with psycopg.connect(server_url("rented", user=name, password=password)) as connection:
            if role == "proj":
                connection.execute("CREATE TABLE theirs ()")
            elif role == "proj_backup":
                connection.execute("SELECT FROM theirs")
            else:
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute("SELECT FROM theirs")
    database.psql("-c", "DROP DATABASE rented WITH (FORCE)", "-c", "DROP OWNED BY landlord",
                  "-c", "DROP ROLE rented, rented_app, rented_backup, landlord")  # fmt: skip


def test_the_page_shows_what_postgresql_prints(database: Database) -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    printed = database.psql(
        "-d", server_url("proj"), "-f", str(ROOT / "deploy/postgres/rights.sql")
    )
    missing = [line for line in printed.splitlines() if line not in page]
    assert not missing, "\n".join(missing)
