"""The role `wait-migrated`: no role works on a schema of yesterday."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from tests.fixtures_worker import StartRole, free_port

pytestmark = pytest.mark.django_db

FORGET = "DELETE FROM django_migrations WHERE app = 'durable_results' AND name = '0001_initial'"
REMEMBER = (
    "INSERT INTO django_migrations (app, name, applied) VALUES ('durable_results', %s, now())"
)


class Out(StringIO):
    """Applies the migration once it is said that it is waited for."""

    def write(self, text: str) -> int:
        if "waiting for migrations" in text:
            with connection.cursor() as cursor:
                cursor.execute(REMEMBER, ["0001_initial"])
        return super().write(text)


def forget() -> None:
    with connection.cursor() as cursor:
        cursor.execute(FORGET)
        assert cursor.rowcount == 1


def test_a_schema_that_is_there_is_not_waited_for() -> None:
    out = StringIO()

    call_command("wait_migrated", wait=0, stdout=out)

    assert re.fullmatch(r"\d+ s: the schema is that of this code", out.getvalue().strip())


def test_it_says_what_is_missing_and_who_brings_it_and_goes_on_when_it_is_there() -> None:
    forget()
    out = Out()

    call_command("wait_migrated", wait=60, stdout=out)

    first, last = out.getvalue().strip().splitlines()
    assert "waiting for migrations, 1 from durable_results.0001_initial on" in first
    assert "kubectl logs deploy/web -c schema" in first
    assert last.endswith("the schema is that of this code")


def test_it_gives_up_after_a_time_with_what_it_waited_for() -> None:
    forget()

    with pytest.raises(CommandError, match=r"gave up after .* s of waiting for migrations, 1 from"):
        call_command("wait_migrated", wait=0.1, stdout=StringIO())


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_waited_for(start_role: StartRole) -> None:
    nowhere = f"postgresql://proj@127.0.0.1:{free_port()}/proj"

    role = start_role("wait-migrated", "--wait=2", DATABASE_URL=nowhere)

    assert role.process.wait(180) == 1
    assert "waiting for the database: " in role.output()
    assert "Traceback" not in role.output()
