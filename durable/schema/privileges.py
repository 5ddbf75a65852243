"""The rights of the database's roles in it: given by the owner, after each migration.

OWNER_DATABASE_URL leads the migration to the owner of the tables. The role in DATABASE_URL (web,
worker, beat) then may read and write rows, and neither make, change nor drop a table; the one in
BACKUP_DATABASE_URL may write the list of dumps. Without OWNER_DATABASE_URL there is one role for
all, and nothing to give.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from psycopg import sql

from durable.database import sessions
from durable.environment.reader import Reader

#: What the application may do, by the kinds of pg_class.
TABLES = ("rpvmf", "SELECT, INSERT, UPDATE, DELETE")
SEQUENCES = ("S", "USAGE, SELECT")
#: Parts of a table may be emptied: what is old goes so (durable/journal/keep.py).
PARTS = "TRUNCATE"
#: The application hands these files to browsers, and may not change them.
READ_ONLY = "durable_static_file"
WRITTEN_BY_BACKUPS = ("durable_backups_backup", "durable_backups_moment")

# The owner's relations of these kinds that lack one of the privileges.
_LACKING = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relowner = current_user::regrole AND c.relpersistence <> 't'
    AND c.relkind::text = ANY (string_to_array(%(kinds)s, NULL))
    AND (c.relispartition OR NOT %(parts)s)
    AND EXISTS (SELECT FROM unnest(string_to_array(%(privileges)s, ', ')) AS one
        WHERE NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(%(role)s, c.oid, one)
            ELSE has_table_privilege(%(role)s, c.oid, one) END)
"""
_OWNS_DATABASE = "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = %s"


def user_of(variable: str) -> str:
    """Return the role in the URL that *variable* holds, or nothing."""
    url = Reader().database(variable, "") if Reader().raw(variable) else {}
    return str(url.get("USER", ""))


def give() -> list[str]:
    """Give the other roles what they lack; return their names.

    :raises DatabaseError: a role does not exist.
    """
    if not Reader().raw("OWNER_DATABASE_URL"):
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        owner = cursor.fetchone()[0]
        application, backup = (
            name if name != owner else ""
            for name in (user_of("DATABASE_URL"), user_of("BACKUP_DATABASE_URL"))
        )
        close_database(cursor, [name for name in (application, backup) if name])
        if application:
            read_and_write(cursor, application)
            sessions.lend(cursor)
            execute(cursor, f"GRANT EXECUTE ON FUNCTION {sessions.FUNCTION}() TO {{}}", application)
        for table in WRITTEN_BY_BACKUPS if backup else ():
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
            if cursor.fetchone() == (True,):
                execute(cursor, f"GRANT {TABLES[1]} ON {{}} TO {{}}", table, backup)
        return [name for name in (application, backup) if name]


def close_database(cursor: Any, roles: list[str]) -> None:
    """Let only *roles* into the database; a restored one is open, as every new one is."""
    name = connection.settings_dict["NAME"]
    cursor.execute(_OWNS_DATABASE, [name])
    if cursor.fetchone() != (True,):
        return  # a managed server's own user decides about it
    execute(cursor, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    for role in roles:
        execute(cursor, "GRANT CONNECT ON DATABASE {} TO {}", name, role)


def read_and_write(cursor: Any, role: str) -> None:
    """Let *role* read and write rows: of the tables that are there, and of those that will be."""
    cursor.execute("SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class"
                   " WHERE relowner = current_user::regrole AND relkind = 'r'")  # fmt: skip
    for (schema,) in cursor.fetchall():
        execute(cursor, f"GRANT USAGE ON SCHEMA {schema} TO {{}}", role)
    for what, (kinds, privileges) in (("TABLES", TABLES), ("SEQUENCES", SEQUENCES)):
        execute(cursor, f"ALTER DEFAULT PRIVILEGES GRANT {privileges} ON {what} TO {{}}", role)
        for relation in set(lacking(cursor, role, kinds, privileges)) - {READ_ONLY}:
            execute(cursor, f"GRANT {privileges} ON {what[:-1]} {relation} TO {{}}", role)
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [READ_ONLY])
    if cursor.fetchone() == (True,):
        execute(cursor, "REVOKE ALL ON {} FROM {}", READ_ONLY, role)
        execute(cursor, "GRANT SELECT ON {} TO {}", READ_ONLY, role)
    for part in lacking(cursor, role, TABLES[0], PARTS, parts=True):
        execute(cursor, f"GRANT {PARTS} ON TABLE {part} TO {{}}", role)


def lacking(
    cursor: Any, role: str, kinds: str, privileges: str, *, parts: bool = False
) -> list[str]:
    """Return the names of the owner's relations on which *role* lacks one of *privileges*."""
    values = {"kinds": kinds, "privileges": privileges, "role": role, "parts": parts}
    cursor.execute(_LACKING, values)
    return [name for (name,) in cursor.fetchall()]  # quoted by regclass, where they have to be


def execute(cursor: Any, statement: str, *names: str) -> None:
    """Execute *statement* with *names* quoted in the place of its brackets."""
    cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
