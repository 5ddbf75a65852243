"""The role `migrate`: one at a time, and never for ever."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from durable.database.locks import MIGRATION
from durable.schema.lock import alone
from durable.schema.progress import Progress
from tests.fixtures_worker import StartRole, database_url, free_port

pytestmark = pytest.mark.django_db(transaction=True)


def quiet(limit: float = 30) -> Progress:
    return Progress(lambda line: None, limit)


def holders() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid::int8 = %s AND objid::int8 = %s",
            MIGRATION,
        )
        return int(cursor.fetchone()[0])


def test_of_two_at_once_one_waits_and_says_for_whom(start_role: StartRole) -> None:
    with alone(quiet()):
        second = start_role("migrate", "--wait=120")
        second.wait_for_line("waiting for another migration to end: proj-migrate-lock at ")
        assert "Running migrations" not in second.output()

    assert second.process.wait(180) == 0, second.output()
    assert "Schedules: " in second.output()


def test_a_migration_that_is_killed_leaves_no_lock(start_role: StartRole) -> None:
    with alone(quiet()):
        first = start_role("migrate", "--wait=120")
        first.wait_for_line("waiting for another migration")
    # It holds the lock now, or did already; either way nothing is left of it.
    first.process.kill()
    first.process.wait()

    with alone(quiet()):
        assert holders() == 1


def test_it_gives_up_after_a_time_and_says_what_it_waited_for() -> None:
    with alone(quiet()), pytest.raises(CommandError, match=r"gave up after .* another migration"):
        call_command("migrate_once", wait=0.1, stdout=StringIO())


def test_a_schema_that_is_newer_than_the_code_is_named_and_kept() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("auth", "9999_of_tomorrow")
    try:
        call_command("migrate_once", stdout=StringIO(), stderr=(said := StringIO()), verbosity=0)
        assert ("auth", "9999_of_tomorrow") in recorder.applied_migrations()
    finally:
        recorder.record_unapplied("auth", "9999_of_tomorrow")
    assert "the schema is newer than this version: it has auth.9999_of_tomorrow" in said.getvalue()


def test_a_database_that_is_away_is_waited_for(start_role: StartRole) -> None:
    nowhere = f"postgresql://proj@127.0.0.1:{free_port()}/proj"

    role = start_role("migrate", "--wait=2", DATABASE_URL=nowhere)

    assert role.process.wait(180) == 1
    assert "waiting for the database: " in role.output()
    assert "(DATABASE_URL)" in role.output()
    assert "Connection refused" in role.output()
    assert "Traceback" not in role.output()


def test_the_lock_is_taken_past_a_pooler(settings: Any) -> None:
    """Through a pooler, the lock would belong to a session that others get next."""
    url = database_url()
    settings.BEAT_DATABASE_URL = f"{url}{'&' if '?' in url else '?'}options=-c%20work_mem%3D7MB"

    with alone(quiet()) as session:
        row = session.execute("SHOW work_mem").fetchone()

    assert row == ("7MB",)


def test_a_machine_that_is_gone_holds_the_lock_for_less_than_a_minute() -> None:
    names = ("idle", "interval", "count")
    with alone(quiet()) as session:
        row = session.execute(
            "SELECT " + ", ".join(f"current_setting('tcp_keepalives_{n}')::int" for n in names)
        ).fetchone()

    assert row
    idle, interval, count = row
    # By a socket in the file system PostgreSQL has no keepalives, and shows 0.
    assert 0 <= idle + interval * count < 60
    assert session.closed
