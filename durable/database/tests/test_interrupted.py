"""A signal that raises in the middle of a query, as a soft time limit does."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import Error, connection, transaction

from durable.database.outage import lost_database
from tests.fixtures_worker import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

SLEEP = "SELECT pg_sleep(600)"


def raise_limit(*args: Any) -> None:
    raise SoftTimeLimitExceeded


@contextmanager
def limited(sql: str = SLEEP) -> Iterator[None]:
    """Raise in this thread while it waits for PostgreSQL, which works on *sql*."""
    us, pid = threading.main_thread().ident, backend()
    assert us is not None

    looks = 0

    def waiting() -> bool:
        nonlocal looks
        waits = sys._current_frames()[us].f_code is psycopg.Connection.wait.__code__
        looks = looks + 1 if waits and works(pid, sql) else 0
        return looks > 3  # and not just passing through

    def watch() -> None:
        wait_for(waiting, "the query runs")
        signal.pthread_kill(us, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raise_limit)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def backend() -> int:
    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


def works(pid: int, sql: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_stat_activity WHERE pid = %s AND pid <> pg_backend_pid()"
            " AND state = 'active' AND query LIKE %s",
            [pid, sql],
        )
        return cursor.fetchone() is not None


def one(cursor: Any) -> None:
    cursor.execute(SLEEP)


def many(cursor: Any) -> None:
    cursor.executemany("SELECT pg_sleep(%s)", [(600,), (600,)])


def copy_to(cursor: Any) -> None:
    with cursor.copy(f"COPY ({SLEEP}) TO STDOUT") as copy:
        list(copy)


def in_parts(cursor: Any) -> None:
    with transaction.atomic(), connection.chunked_cursor() as parts:
        parts.execute(SLEEP)
        parts.fetchone()


@pytest.mark.parametrize(
    ("query", "seen"),
    [(one, SLEEP), (many, "%pg_sleep%"), (copy_to, "COPY%"), (in_parts, "FETCH%")],
)
def test_an_interrupted_query_ends_in_the_server_and_the_next_one_is_answered(
    query: Callable[[Any], None], seen: str
) -> None:
    pid = backend()
    with limited(seen), pytest.raises(SoftTimeLimitExceeded), connection.cursor() as cursor:
        query(cursor)
    wait_for(lambda: not works(pid, seen), "it has ended")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_a_savepoint_around_an_interrupted_query_is_rolled_back_alone() -> None:
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT 1")
        with limited(), pytest.raises(SoftTimeLimitExceeded), transaction.atomic():
            cursor.execute(SLEEP)
        cursor.execute("SELECT count(*) FROM kept")
        assert cursor.fetchone() == (1,)


def test_a_copy_to_the_server_that_is_interrupted_is_given_up() -> None:
    slow = """CREATE TABLE slow (id int);
        CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
        CREATE TRIGGER sleeps BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION sleeps()"""
    with connection.cursor() as cursor:
        cursor.execute(slow)
    try:
        pid = backend()
        with limited("COPY slow%"), pytest.raises(SoftTimeLimitExceeded):  # noqa: SIM117
            with connection.cursor() as cursor, cursor.copy("COPY slow FROM STDIN") as copy:
                copy.write(b"1\n" * 10_000_000)
        assert backend() == pid
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE slow; DROP FUNCTION sleeps()")


def test_a_query_that_can_not_be_cancelled_costs_its_connection_and_is_no_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No server is reached to cancel it, say."""

    def fails(**kwargs: Any) -> None:
        raise OSError

    pid = backend()
    with transaction.atomic():
        monkeypatch.setattr(connection.connection, "cancel_safe", fails)
        with limited(), pytest.raises(SoftTimeLimitExceeded), connection.cursor() as cursor:
            cursor.execute(SLEEP)
        with pytest.raises(Error) as caught, connection.cursor():
            pass
        transaction.set_rollback(True)
    assert not lost_database(caught.value, "default")
    assert backend() != pid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
