"""What a transaction writes into the cache is seen at once; in a test it is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction

from durable.database.lifetime import close_all
from tests.fixtures_worker import wait_for

NAME = "test-cache"


@pytest.fixture
def named(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A connection that PostgreSQL lists by its name, and the cache's table."""
    close_all()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "application_name", NAME)
    call_command("createcachetable")
    cache.clear()
    wait_for(lambda: sessions() == 1, "the connections of another test are closed")
    yield
    close_all()


def others_see(key: str) -> bool:
    with closing(connection.copy()) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM django_cache WHERE cache_key = %s", [cache.make_key(key)])
        return cursor.fetchone() is not None


def sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE application_name = %s", [NAME])
        return int(cursor.rowcount)


def test_a_lock_and_progress_in_a_transaction_are_seen_at_once(named: None) -> None:
    with transaction.atomic():
        assert cache.add("lock", "mine")
        assert not cache.add("lock", "another's")
        cache.set("progress", 10)
        cache.set("progress", 20)
        assert others_see("lock")
        assert cache.get_many(["lock", "progress"]) == {"lock": "mine", "progress": 20}
        cache.delete("lock")
        assert not others_see("lock")
        transaction.set_rollback(True)
    assert cache.get("progress") == 20


def test_the_cache_has_a_second_connection_while_a_transaction_uses_it_and_no_longer(
    named: None,
) -> None:
    with transaction.atomic():
        assert sessions() == 1
    cache.set("outside", 1)
    assert sessions() == 1
    for _ in range(3):
        with transaction.atomic():
            cache.set("inside", 1)
            assert sessions() == 2
    connection.close()
    wait_for(lambda: sessions() == 1, "both are closed, and this one asks")


def test_in_a_test_that_is_a_transaction_the_cache_is_taken_back_too(db: None) -> None:
    """The marker `db` is Django's TestCase."""
    call_command("createcachetable")
    with transaction.atomic():
        cache.set("taken-back", 1)
        assert cache.get("taken-back") == 1
        assert not others_see("taken-back")
        transaction.set_rollback(True)
    assert cache.get("taken-back") is None
