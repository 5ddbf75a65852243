"""What has expired is revoked: in small steps, each row with its result."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import chord, states
from celery.result import AsyncResult
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now

from durable.queue import expiry
from durable.queue.calls import durable
from durable.queue.losses import Losses
from durable.queue.models import Task
from durable.queue.relay import Relay
from tests.durable_tasks import add, effect
from tests.fixtures_durable import client, names
from tests.fixtures_worker import purge_queues

pytestmark = pytest.mark.usefixtures("effect_table")

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def empty_broker(effect_table: None) -> None:
    purge_queues()
    Losses().look_for_marker(client())


def expired(*labels: str) -> list[AsyncResult]:
    """Call tasks that have expired, the first one the longest ago."""
    results = [effect.apply_async_on_commit([label], expires=3600) for label in labels]
    Task.objects.filter(expires__isnull=False).update(
        due_at=None, expires=Now() - 60 * MINUTE + F("id") * timedelta(milliseconds=1)
    )
    purge_queues()
    return results


def states_of(results: list[AsyncResult]) -> list[str]:
    return [result.state for result in results]


@pytest.fixture
def breaks_on_result() -> Iterator[Any]:
    """Let the table of results do something when that of one task is stored."""

    def arrange(task_id: str, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION test_break() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN IF NEW.task_id = '{task_id}' THEN {statement}; END IF;"
                " RETURN NEW; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER test_break BEFORE INSERT OR UPDATE"
                " ON django_celery_results_taskresult"
                " FOR EACH ROW EXECUTE FUNCTION test_break()"
            )

    yield arrange
    mend()


def mend() -> None:
    connection.close()  # it may be broken
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS test_break CASCADE")


def test_a_long_backlog_is_revoked_in_steps_and_others_are_sent_meanwhile(settings: Any) -> None:
    settings.DURABLE_BATCH = 2
    results = expired(*names(5))
    effect.delay_on_commit("due")
    Task.objects.filter(expires=None).update(due_at=Now())
    purge_queues()
    relay = Relay()
    relay.run_once()
    assert states_of(results) == [states.REVOKED] * 2 + [states.PENDING] * 3
    assert client().llen("default") == 1
    while relay.run_once():  # at once, not after the pause between two looks
        pass
    assert states_of(results) == [states.REVOKED] * 5


def test_a_crash_in_the_middle_leaves_rows_that_are_revoked_later(breaks_on_result: Any) -> None:
    results = expired("a", "b")
    breaks_on_result(results[1].id, "PERFORM pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(OperationalError):
        expiry.revoke_expired()
    mend()
    assert states_of(results) == [states.PENDING] * 2
    assert Task.objects.count() == 2
    assert expiry.revoke_expired() == 2
    assert states_of(results) == [states.REVOKED] * 2
    assert not Task.objects.exists()


def test_one_whose_end_cannot_be_stored_holds_up_nobody(breaks_on_result: Any) -> None:
    results = expired("a", "b", "c")
    breaks_on_result(results[0].id, "RAISE EXCEPTION 'no room for it'")
    unreadable = Task.objects.get(task_id=results[1].id)
    Task.objects.filter(id=unreadable.id).update(body="not JSON")
    expiry.revoke_expired()
    assert results[2].state == states.REVOKED
    left = Task.objects.order_by("id")
    assert [row.task_id for row in left] == [results[0].id, results[1].id]
    assert all(row.quarantined_at for row in left)
    assert "no room for it" in left[0].error
    assert "its body can't be read" in left[1].error
    assert results[1].state == states.FAILURE
    assert expiry.revoke_expired() == 0


def test_a_part_of_a_chord_that_has_expired_counts_as_failed() -> None:
    with durable():
        body = chord([add.s(1).set(expires=3600), add.s(2).set(expires=3600)], add.s()).delay()
    Task.objects.update(due_at=None, expires=Now() - MINUTE)
    expiry.revoke_expired()
    assert body.state == states.FAILURE
