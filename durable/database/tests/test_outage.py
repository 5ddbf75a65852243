"""A database that goes away is told from a task's own errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from durable.database.outage import Outage, is_conflict, lost_database
from tests.fixtures_worker import purge_queues

pytestmark = pytest.mark.usefixtures("effect_table")


@pytest.fixture(autouse=True)
def empty_broker() -> None:
    purge_queues()


def lose(database: Any) -> None:
    """Let the connection to a database be closed by its server."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def converted_from_none() -> None:
    """Put an error in the other's place, on purpose."""
    try:
        lose(connection)
    except OperationalError:
        raise LookupError from None


def converted() -> None:
    """Name the other as the cause."""
    try:
        lose(connection)
    except OperationalError as error:
        raise LookupError from error


def unrelated() -> None:
    """Stumble while the other is handled."""
    try:
        lose(connection)
    finally:
        raise LookupError


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
        ("SELECT 1 / 0", False),
        ("SET lock_timeout = 1; SELECT pg_advisory_lock(1)", False),
        ("SET transaction_read_only = on; DELETE FROM durable_task", True),  # a replica
    ],
)
def test_a_lost_database_is_told_from_the_tasks_own_errors(sql: str, lost: bool) -> None:
    import psycopg

    settings = connection.get_connection_params()
    plain = {
        k: settings[k] for k in ("dbname", "user", "host", "port", "password") if k in settings
    }
    with psycopg.connect(**plain, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(1)")
        with pytest.raises(Exception) as caught, connection.cursor() as cursor:  # noqa: PT011
            cursor.execute(sql)
    connection.close()
    assert lost_database(caught.value, "default") is lost
    wrapped = RuntimeError()
    wrapped.__cause__ = caught.value
    assert lost_database(wrapped, "default") is lost


def test_another_database_that_goes_away_is_the_tasks_own_matter() -> None:
    """A project may have more databases than the one that holds the rows."""
    connections["second"] = second = connection.copy(alias="second")
    try:
        second.connect()
        with pytest.raises(OperationalError) as caught:
            lose(second)
        second.close()
    finally:
        del connections["second"]
    assert not lost_database(caught.value, "default")


@pytest.mark.parametrize(
    ("converts", "lost"), [(converted_from_none, False), (converted, True), (unrelated, True)]
)
def test_an_error_that_a_task_has_put_in_the_place_of_a_lost_database_is_its_own(
    converts: Callable[[], None], lost: bool
) -> None:
    with pytest.raises(LookupError) as caught:
        converts()
    connection.close()
    assert lost_database(caught.value, "default") is lost


class TestALoopOutlives:
    def test_an_outage_which_it_says_once_until_the_next_one(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        outage = Outage("default", logging.getLogger(__name__))
        for _ in range(2):
            with outage.outlived("a loop waits"):
                lose(connection)
            assert outage.lasts
        assert connection.connection is None
        with outage.outlived("a loop waits"):
            connection.ensure_connection()
        assert not outage.lasts
        with outage.outlived("a loop waits"):
            lose(connection)
        first, second = caplog.records
        assert first.message.startswith("a loop waits: ")
        assert not first.exc_info
        assert not second.exc_info

    def test_an_error_of_the_code_which_it_says_with_its_place(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Outage("default", logging.getLogger(__name__)).outlived("a loop waits"):
            raise LookupError("no name")
        assert "a loop waits: no name" in caplog.text
        assert "LookupError" in caplog.text

    def test_no_lack_of_memory_where_that_is_to_end_it(self) -> None:
        outage = Outage("default", logging.getLogger(__name__))
        with pytest.raises(MemoryError), outage.outlived("a loop waits", but=(MemoryError,)):
            raise MemoryError
        with outage.outlived("a loop waits"):
            raise MemoryError
        assert outage.lasts


@pytest.mark.parametrize(
    ("state", "conflict"), [("40P01", True), ("40001", True), ("23505", False)]
)
def test_what_another_transaction_has_caused_may_pass_when_done_again(
    state: str, conflict: bool
) -> None:
    error = LookupError()
    error.__cause__ = OperationalError()
    error.__cause__.__context__ = psycopg.errors.lookup(state)()
    error.__cause__.__suppress_context__ = True
    assert is_conflict(error) is conflict
