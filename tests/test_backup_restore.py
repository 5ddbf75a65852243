"""A restore happens beside the live database, which stays what it is until the last step."""

from __future__ import annotations

import secrets
from pathlib import Path

import psycopg

from .backups import TABLES, Backups
from .fixtures_worker import wait_for


def accounts(backups: Backups, database: str = "") -> int:
    [(count,)] = backups.execute("SELECT count(*) FROM account", database=database)
    return int(count)


def test_the_rows_of_the_dump_are_back_and_the_others_are_kept_beside(backups: Backups) -> None:
    name = backups.dump()
    backups.execute("DELETE FROM booking; DELETE FROM account WHERE id > 10")
    said = backups.run("restore", name)
    assert accounts(backups) == 500
    (before,) = backups.databases()
    assert f"{backups.database}{before}" in said
    assert accounts(backups, backups.database + before) == 10
    assert f"{name}: proven" in said


def test_it_is_refused_while_a_role_is_connected(backups: Backups) -> None:
    name = backups.dump()
    backups.execute("DELETE FROM account")
    with psycopg.connect(backups.url, application_name="proj-web") as role:
        role.execute("SELECT 1")
        said = backups.refuse("restore", name, BACKUP_ALONE_WITHIN="1")
    assert f"{backups.database} is in use" in said
    assert "1 x proj-web" in said
    assert accounts(backups) == 0
    assert backups.databases() == set()


def test_a_role_that_connects_meanwhile_stops_it_and_nothing_is_changed(backups: Backups) -> None:
    backups.make_restores_wait()
    name = backups.dump()
    backups.execute("DELETE FROM account")
    process = backups.start("restore", name, BACKUP_ALONE_WITHIN="1")
    wait_for(lambda: "_restored" in backups.databases(), "it is being restored")
    with psycopg.connect(backups.url, application_name="proj-web"):
        backups.let_restores_go()
        said, _ = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "1 x proj-web" in said
    assert accounts(backups) == 0
    assert backups.databases() == set()


def test_a_wrong_file_is_refused_and_told_which_there_are(backups: Backups) -> None:
    name = backups.dump()
    assert name in backups.refuse("restore")
    assert name in backups.refuse("restore", "yesterday.dump")
    assert "expected the name of a file" in backups.refuse("restore", "../../etc/passwd")
    (backups.folder / f"{name}.rows").unlink()
    assert f"{name}.rows is missing" in backups.refuse("restore", name)


def test_a_dump_of_another_application_is_refused(backups: Backups) -> None:
    backups.execute("DROP TABLE django_migrations")
    name = backups.dump()
    assert "not of this application" in backups.refuse("restore", name)


def test_a_damaged_dump_changes_nothing(backups: Backups) -> None:
    name = backups.dump()
    path = backups.folder / name
    path.write_bytes(path.read_bytes()[:-200])
    backups.execute("DELETE FROM account WHERE id > 3")
    assert "its checksum differs" in backups.refuse("restore", name)
    assert accounts(backups) == 3
    assert backups.databases() == set()


def test_it_works_into_a_server_that_has_no_such_database(backups: Backups) -> None:
    """The disaster: everything but the dump is gone."""
    name = backups.dump()
    backups.execute(f"DROP DATABASE {backups.database} WITH (FORCE)", database="postgres")
    backups.run("restore", name)
    assert accounts(backups) == 500
    assert backups.databases() == set()


def test_no_id_is_given_out_twice(backups: Backups) -> None:
    """Ids of rows that the restore took back are in messages, mails and links out there."""
    name = backups.dump()
    backups.execute("INSERT INTO account (name) SELECT 'later' FROM generate_series(1, 100)")
    backups.execute("CREATE TABLE newer (id bigserial); INSERT INTO newer DEFAULT VALUES")
    backups.run("restore", name)
    [(new,)] = backups.execute("INSERT INTO account (name) VALUES ('after') RETURNING id")
    assert new == 601


def test_the_databases_own_settings_stay(backups: Backups) -> None:
    for setting in ("search_path = 'a b', public", "timezone = 'Europe/Zurich'"):
        backups.execute(f"ALTER DATABASE {backups.database} SET {setting}")
    backups.run("restore", backups.dump())
    assert backups.execute("SHOW search_path") == [('"a b", public',)]
    assert backups.execute("SHOW timezone") == [("Europe/Zurich",)]


def test_every_name_needs_quoting_somewhere(backups: Backups) -> None:
    backups.execute('CREATE SCHEMA "My; schema"')
    table = '"My; schema"."it\'s a ""table"""'
    backups.execute(f"CREATE TABLE {table} AS SELECT 1 AS x")
    name = backups.dump()
    assert "proven, 502 rows of 4 tables" in backups.run("drill")
    backups.run("restore", name)
    assert backups.execute(f"TABLE {table}") == [(1,)]


def test_a_name_of_63_letters_is_not_taken_for_that_of_the_copy(tmp_path: Path) -> None:
    """PostgreSQL cuts off what is longer, and the copy is dropped before it is made."""
    backups = Backups(tmp_path / "backups", f"shop_{secrets.token_hex(29)}")
    before = f"{backups.database[:38]}_before_%"
    backups.execute(f"CREATE DATABASE {backups.database}", database="postgres")
    try:
        backups.execute(TABLES)
        name = backups.dump()
        backups.execute("DELETE FROM account")
        backups.run("drill")
        assert backups.execute("SELECT count(*) FROM account") == [(0,)]
        backups.run("restore", name)
        assert backups.execute("SELECT count(*) FROM account") == [(500,)]
    finally:
        found = "SELECT datname FROM pg_database WHERE datname LIKE %s"
        for (kept,) in backups.execute(found, before, database="postgres"):
            backups.execute(f'DROP DATABASE "{kept}" WITH (FORCE)', database="postgres")
        backups.drop_all()
