"""deploy/compose/tls.yaml: the roles speak TLS to the stores, and check who these are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .containers import Stack, wait_until

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

CONNECTIONS = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl"
                   " JOIN pg_stat_activity USING (pid) WHERE usename = 'proj_app'")
    print(*cursor.fetchone())
"""
LIMIT = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SHOW max_connections")
    print(*cursor.fetchone())
"""
PLAIN = """
import os, psycopg, redis, socket
from pathlib import Path
url = Path(os.environ["DATABASE_URL_FILE"]).read_text()
Path("/tmp/other.crt").write_text(Path("/etc/ssl/certs/ca-certificates.crt").read_text())
try: psycopg.connect(url.replace("/run/secrets/proj/ca.crt", "/tmp/other.crt"))
except psycopg.OperationalError as error: print("certificate verify failed" in str(error))
address = socket.gethostbyname("postgres")
try: psycopg.connect(url.replace("@postgres:", f"@{address}:"))
except psycopg.OperationalError as error: print("does not match host name" in str(error))
try: psycopg.connect(url.partition("?")[0] + "?sslmode=disable")
except psycopg.OperationalError as error: print("no encryption" in str(error))
broker = Path(os.environ["CELERY_BROKER_URL_FILE"]).read_text()
try: redis.from_url(broker.replace("rediss://", "redis://").partition("?")[0]).ping()
except redis.ConnectionError: print(True)
"""


@pytest.fixture(scope="module")
def encrypted(image: str, clone: Path) -> Iterator[Stack]:
    stack = Stack(clone, image, "deploy/compose/tls.yaml")
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()


def test_every_connection_is_encrypted_and_who_answers_is_checked(encrypted: Stack) -> None:
    ours, all_of_them = encrypted.manage(CONNECTIONS).split()
    assert int(ours) == int(all_of_them) > 3
    assert encrypted.manage(PLAIN).split() == ["True"] * 4
    assert encrypted.manage(LIMIT) == "150", "what compose.yaml tells PostgreSQL holds"
    encrypted.run("deploy/compose/backup", "dump")


def test_a_password_is_replaced_and_plain_messages_go_on(encrypted: Stack) -> None:
    said = encrypted.run("deploy/compose/rotate-secret", "redis").stdout
    assert said.splitlines()[-1] == "redis is another one now"
    task = encrypted.manage("from proj.celery import debug_task; print(debug_task.delay())")

    def ran() -> bool:
        return task in encrypted.compose("logs", "worker").stdout

    wait_until(ran, "a plain message has come by TLS")


def test_a_stack_that_runs_is_not_switched_between_tls_and_none(encrypted: Stack) -> None:
    before = encrypted.ids()
    done = encrypted.run("deploy/compose/up", env={"COMPOSE_FILE": "compose.yaml"}, check=False)
    assert "all parts start anew: make down up" in done.stderr
    assert encrypted.ids() == before
