"""Losses are noticed by what the broker and the workers say; nothing else is sent again."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from celery import states
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from durable.queue import broker, expiry, store
from durable.queue.losses import MARKER, Losses
from durable.queue.models import Task, Worker
from durable.queue.relay import Relay
from proj.celery import app
from tests.durable_tasks import effect
from tests.fixtures_worker import purge_queues

SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def empty_broker() -> None:
    purge_queues()
    client().delete(MARKER)


def client() -> Any:
    return app.connection_for_write().default_channel.client


def sent(*labels: str) -> list[Task]:
    with transaction.atomic():
        for label in labels:
            effect.delay_on_commit(label)
    return list(Task.objects.order_by("id"))


def due() -> list[int]:
    return list(Task.objects.exclude(due_at=None).order_by("id").values_list("id", flat=True))


def look_for_marker() -> None:
    Losses().look_for_marker(client())


def test_without_a_marker_everything_is_sent_again_and_with_it_nothing() -> None:
    rows = sent("a", "b")
    look_for_marker()
    assert due() == [row.id for row in rows]
    Task.objects.update(due_at=None)
    look_for_marker()
    assert due() == []


def test_a_broker_back_from_an_old_snapshot_gets_what_was_sent_since() -> None:
    old, new = sent("old", "new")
    Task.objects.filter(id=old.id).update(sent_at=Now() - 60 * SECOND)
    look_for_marker()
    Task.objects.update(due_at=None)
    [(field, value)] = client().hgetall(MARKER).items()
    client().hset(MARKER, field, f"another-run {float(value.split()[1]) - 30}")
    look_for_marker()
    assert due() == [new.id]


def test_running_and_quarantined_rows_are_left_alone() -> None:
    running, quarantined, waiting = sent("a", "b", "c")
    store.claim(running.id, 0, "somebody")
    Task.objects.filter(id=quarantined.id).update(quarantined_at=Now())
    look_for_marker()
    assert due() == [waiting.id]


def overtaken(losses: Losses) -> list[int]:
    with broker.connect() as connection:
        losses.look_for_overtaken(connection)
        losses._earlier = [(at - 3600, lanes) for at, lanes in losses._earlier]
        losses.look_for_overtaken(connection)
    return due()


def test_what_waits_in_its_queue_is_not_lost() -> None:
    sent("a", "b", "c")
    assert overtaken(Losses()) == []


def test_what_was_sent_before_something_that_has_arrived_is_lost_unless_a_worker_holds_it() -> None:
    lost, held, waiting = sent("a", "b", "c")
    Task.objects.exclude(id=waiting.id).update(sent_at=F("sent_at") - 60 * SECOND)
    Worker.objects.bulk_create(
        [Worker(id="w", hostname="h", pid=1, held=[held.id], lanes={"default/0": time.time() - 30})]
    )
    assert overtaken(Losses()) == [lost.id]


def test_a_database_whose_clock_was_set_back_makes_nothing_look_lost() -> None:
    """The workers know of messages that were sent later than all that are sent from now on."""
    sent("a", "b")
    Worker.objects.bulk_create(
        [Worker(id="w", hostname="h", pid=1, held=[], lanes={"default/0": time.time() + 3600})]
    )
    losses = Losses()
    assert overtaken(losses) == []
    Worker.objects.all().delete()  # what was seen before the step is remembered for a while
    assert overtaken(losses) == []


def test_one_look_is_not_enough() -> None:
    """A message that has just arrived is held by a worker that had no time to say so."""
    sent("a")
    purge_queues()
    with broker.connect() as connection:
        Losses().look_for_overtaken(connection)
    assert due() == []


def test_an_empty_queue_has_lost_what_was_sent_there() -> None:
    rows = sent("a", "b")
    purge_queues()
    assert overtaken(Losses()) == [row.id for row in rows]


def test_what_has_expired_is_revoked() -> None:
    result = effect.apply_async_on_commit(["a"], expires=3600)
    kept = effect.apply_async_on_commit(["b"], expires=3600)
    Task.objects.filter(task_id=result.id).update(expires=Now() - SECOND)
    assert expiry.revoke_expired() == 1
    assert result.state == states.REVOKED
    assert Task.objects.get().task_id == kept.id


@pytest.mark.usefixtures("no_broker")
def test_rows_stay_due_while_the_broker_is_away() -> None:
    effect.delay_on_commit("a")
    relay = Relay()
    with pytest.raises(OperationalError):
        relay.send(store.lease(10))
    assert len(store.lease(10)) == 1


def test_after_the_limit_was_lowered_a_row_is_started_once_more(settings: Any) -> None:
    """It must not wait for ever in between: too often started to start, and not in quarantine."""
    [row] = sent("a")
    where, me = "worker = %(me)s", {"me": "w"}
    for starts in range(3):
        store.claim(row.id, starts, "w")
        store.release(where, me, "why")
    settings.DURABLE_MAX_STARTS = 2
    assert store.claim(row.id, 3, "w") == 4
    assert store.release(where, me, "why")[0][3] is True


def test_a_release_counts_crashes_in_a_row_only(settings: Any) -> None:
    settings.DURABLE_MAX_STARTS = 2
    [row] = sent("a")
    where, me = "worker = %(me)s", {"me": "w"}
    for starts, reported, quarantined in ((0, False, False), (1, True, False), (2, False, False)):
        assert store.claim(row.id, starts, "w") == starts + 1
        [(_, _, _, now_quarantined)] = store.release(where, me, "why", reported)
        assert now_quarantined is quarantined
    assert store.claim(row.id, 3, "w") == 4
    assert store.release(where, me, "why")[0][3] is True
