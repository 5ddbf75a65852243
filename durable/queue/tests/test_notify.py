"""A call wakes the workers of its lane by NOTIFY: after the commit, and once for many calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from durable.queue import store
from durable.queue.conf import CHANNEL
from tests.durable_tasks import effect

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard() -> Iterator[Callable[[], list[str]]]:
    """Give what returns the lanes that were woken since the last time."""
    settings = connection.get_connection_params()
    names = ("dbname", "user", "host", "port", "password")
    plain = {name: settings[name] for name in names if name in settings}
    with psycopg.connect(**plain, autocommit=True) as other:
        other.execute(f"LISTEN {CHANNEL}")

        def listen() -> list[str]:
            found: list[str] = []
            other.execute("SELECT pg_notify(%s, 'the end')", [CHANNEL])
            for note in other.notifies():
                if note.payload == "the end":
                    break
                found.append(note.payload)
            return sorted(found)

        yield listen


def test_each_lane_of_a_transaction_is_woken_once_after_the_commit(
    heard: Callable[[], list[str]],
) -> None:
    with CaptureQueriesContext(connection) as before, transaction.atomic():
        for number in range(5):
            effect.apply_async_on_commit([str(number)], priority=number % 2)
        effect.map_on_commit(["a", "b"], queue="the '%mail\\")
        effect.apply_async_on_commit(["later"], queue="later", countdown=600)
        inside = [query["sql"] for query in connection.queries_log]
        assert len(connection.run_on_commit) == 1
    after = [query["sql"] for query in before]
    assert not any("NOTIFY" in sql for sql in inside)
    assert [("NOTIFY" in sql) for sql in after[-2:]] == [False, True], "COMMIT, and then that"
    assert heard() == ["0 default", "0 the '%mail\\", "1 default"]


def test_none_is_after_a_rollback(heard: Callable[[], list[str]]) -> None:
    with transaction.atomic():
        effect.delay_on_commit("a")
        transaction.set_rollback(True)
    with transaction.atomic():
        effect.delay_on_commit("kept")
        with transaction.atomic():
            effect.apply_async_on_commit(["gone"], queue="mail")
            transaction.set_rollback(True)
    assert "mail" not in str(heard())


def test_a_savepoint_that_is_rolled_back_takes_no_other_lane_with_it(
    heard: Callable[[], list[str]],
) -> None:
    with transaction.atomic():
        with transaction.atomic():
            effect.apply_async_on_commit(["gone"], queue="mail")
            transaction.set_rollback(True)
        effect.delay_on_commit("kept")
    assert "0 default" in heard()


def test_the_commit_stands_although_no_worker_can_be_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(store, "notify", lambda lanes: store.run("SELECT 1 / 0"))
    with transaction.atomic():
        effect.delay_on_commit("a")
        transaction.on_commit(lambda: ran.append(1))
    assert ran == [1]
