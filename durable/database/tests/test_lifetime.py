"""A connection lives no longer than its thread, belongs to one process, and is replaced."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import Error, connection, connections
from django.utils.connection import ConnectionDoesNotExist

from durable.database.postgresql.base import DatabaseWrapper, exhausted_for
from durable.health import readiness
from tests.cable import Cable
from tests.fixtures_worker import PATIENCE, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

SIZE = 2


Ask = Callable[[], int]


@pytest.fixture(params=["kept", "pool"])
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Return the backend of a thread's connection, which is kept as a worker's, or a pool's."""
    settings = connection.copy().settings_dict
    settings["OPTIONS"]["application_name"] = "test-lifetime"
    settings["CONN_MAX_AGE"] = None if request.param == "kept" else 0
    if request.param == "pool":
        settings["OPTIONS"]["pool"] = {"min_size": 0, "max_size": SIZE, "timeout": PATIENCE}

    def ask() -> int:
        try:
            return backend(connections["other"])
        except ConnectionDoesNotExist:
            connections["other"] = DatabaseWrapper(settings, "other")
            return backend(connections["other"])

    yield ask
    own = connections["other"]
    assert isinstance(own, DatabaseWrapper)
    own.close()
    own.close_pool()
    del connections["other"]


def backend(connection: Any) -> int:
    """Return the id of the backend."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE application_name = 'test-lifetime'")
        return int(cursor.rowcount)


def test_threads_that_end_give_their_connections_back(ask: Ask) -> None:
    for _ in range(4 * SIZE):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert ask()
    wait_for(lambda: sessions() <= SIZE, "the threads' connections are closed")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_connections_of_its_own(ask: Ask) -> None:
    before = ask()
    if (pid := os.fork()) == 0:
        try:
            os._exit(int(before == ask()))
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert ask() == before


@pytest.mark.parametrize("ask", ["pool"], indirect=True)
def test_a_pool_whose_connections_do_not_come_back_is_seen_by_the_probe(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "POOL_PATIENCE", 0.0)
    probe = readiness.Readiness()
    release = threading.Event()
    held = threading.Semaphore(0)

    def hold() -> None:
        ask()
        held.release()
        release.wait(PATIENCE)

    threads = [threading.Thread(target=hold) for _ in range(SIZE)]
    for thread in threads:
        thread.start()
        assert held.acquire(timeout=PATIENCE)
    assert exhausted_for() > 0
    assert "no connection" in probe.check(PATIENCE)["database"]
    release.set()
    for thread in threads:
        thread.join()
    ask()
    wait_for(lambda: exhausted_for() == 0, "they came back")
    assert probe.check(PATIENCE)["database"] == "ok"
    assert probe._connection is not None
    probe._connection.close()


@pytest.fixture(params=["ended by the server", "cut"])
def cut(
    request: pytest.FixtureRequest, database: Cable, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """Cut this thread's connection."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", str(database.port))

    def cut() -> None:
        if request.param == "cut":
            database.pull()
            database.plug()
        else:
            with closing(connection.copy()) as other, other.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

    pid = backend(connection)
    yield cut
    connection.close()


def test_a_connection_that_is_known_to_be_closed_is_replaced(cut: Callable[[], None]) -> None:
    cut()
    with pytest.raises(Error):
        backend(connection)
    assert backend(connection)
