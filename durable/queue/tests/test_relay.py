"""The relay sends what is due: nothing but a broker that is away may stop it, and no row may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import signals, states
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from durable.queue import broker, store, tries, unsent
from durable.queue.losses import MARKER
from durable.queue.models import Task
from durable.queue.relay import Relay
from durable.queue.tasks import call_on_failure
from proj.celery import app
from tests.durable_tasks import effect, poison
from tests.fixtures_durable import client, send
from tests.fixtures_worker import purge_queues

from .test_admin import act

pytestmark = pytest.mark.usefixtures("effect_table")


@pytest.fixture(autouse=True)
def empty_broker() -> Iterator[None]:
    purge_queues()
    server = client()
    server.delete(MARKER)
    yield
    server.config_set("maxmemory", 0)


def fill_up() -> None:
    """Let the broker answer, and refuse every message, as one whose memory is used up."""
    client().config_set("maxmemory", 1)


@pytest.fixture
def known_queues_only() -> Iterator[None]:
    """``CELERY_TASK_CREATE_MISSING_QUEUES=false``, with what the settings name."""
    queues = app.amqp.queues
    queues.create_missing = False
    queues.add("default")
    yield
    queues.create_missing = True


def spoil(row: Task, **options: Any) -> None:
    """Give *row* options that its caller has, and the relay hasn't."""
    args, kwargs, kept = json.loads(row.body)
    Task.objects.filter(id=row.id).update(body=json.dumps([args, kwargs, {**kept, **options}]))


def cannot_be_read(row: Task) -> None:
    Task.objects.filter(id=row.id).update(body="not JSON")


def compressed_by_what_is_not_there(row: Task) -> None:
    spoil(row, compression="middle-out")


def for_a_queue_that_is_no_more(row: Task) -> None:
    Task.objects.filter(id=row.id).update(queue="removed")


def for_a_key_that_is_no_queue(row: Task) -> None:
    client().set("taken", "a text", ex=60)
    Task.objects.filter(id=row.id).update(queue="taken")


def due(*labels: str) -> list[Task]:
    send(effect, list(labels))
    Task.objects.update(due_at=Now())
    purge_queues()
    return list(Task.objects.order_by("id"))


def waiting() -> int:
    return int(client().llen("default"))


@pytest.mark.usefixtures("known_queues_only")
@pytest.mark.parametrize(
    "make_unsendable",
    [
        cannot_be_read,
        compressed_by_what_is_not_there,
        for_a_queue_that_is_no_more,
    ],
)
def test_a_row_that_cannot_be_sent_does_not_hold_up_the_others(make_unsendable: Any) -> None:
    bad, good = due("bad", "good")
    make_unsendable(bad)
    Relay().run_once()
    assert waiting() == 1
    bad.refresh_from_db()
    good.refresh_from_db()
    assert good.due_at is None
    assert bad.due_at is not None
    assert bad.error.startswith("not sent: ")


def test_nor_does_one_that_the_broker_refuses() -> None:
    bad, good = due("bad", "good")
    for_a_key_that_is_no_queue(bad)
    Relay().run_once()
    assert waiting() >= 1  # the first try has sent it with the bad one, as far as it knows
    bad.refresh_from_db()
    good.refresh_from_db()
    assert good.due_at is None
    assert "WRONGTYPE" in bad.error


@pytest.mark.usefixtures("known_queues_only")
def test_a_waiting_row_of_a_queue_that_is_no_more_does_not_either() -> None:
    """The look for losses asks each queue that rows wait in."""
    removed, _ = due("waits", "good")
    Task.objects.filter(id=removed.id).update(queue="removed", due_at=None)
    Relay().run_once()
    assert waiting() == 1


def test_what_is_due_is_sent_although_the_look_for_losses_fails() -> None:
    due("good")
    client().set(MARKER, "no hash")
    Relay().run_once()
    assert waiting() == 1


class TestARowThatCannotBeSent:
    def tries(self, times: int) -> Task:
        for _ in range(times):
            Task.objects.exclude(due_at=None).update(due_at=Now())
            Relay().send(store.lease(10))
        return Task.objects.get(task=poison.name)

    @pytest.fixture(autouse=True)
    def row(self, effect_table: None) -> Task:
        send(poison, ["bad"])
        row = Task.objects.get()
        Task.objects.update(due_at=Now())
        compressed_by_what_is_not_there(row)
        return row

    def test_it_is_tried_again_later_each_time(self) -> None:
        pauses = []
        for _ in range(unsent.MOST - 1):
            row = self.tries(1)
            assert row.due_at is not None
            [due_in] = store.run(
                "SELECT round(extract(epoch FROM due_at - (history -> -1 ->> 'at')::timestamptz))"
                "::int FROM durable_task"
            )
            pauses.append(due_in[0])
        assert pauses[:4] == [1, 2, 4, 8]
        assert pauses[-1] == tries.LONGEST_PAUSE

    def test_at_last_it_is_in_quarantine_and_has_failed(self, row: Task) -> None:
        assert self.tries(unsent.MOST - 1).quarantined_at is None
        found = self.tries(1)
        assert found.quarantined_at is not None
        assert found.due_at is None
        result = poison.AsyncResult(row.task_id)
        assert result.state == states.FAILURE
        for text in (found.error, str(result.result)):
            assert "middle-out" in text
            assert "12 times" in text
            assert "Change what the error names" in text

    def test_its_on_failure_is_called(self) -> None:
        self.tries(unsent.MOST)
        assert Task.objects.get(task=call_on_failure.name).queue == "default"

    @pytest.mark.usefixtures("known_queues_only")
    def test_its_on_failure_is_called_elsewhere_if_its_queue_is_no_more(self, row: Task) -> None:
        for_a_queue_that_is_no_more(row)
        assert self.tries(unsent.MOST).quarantined_at is not None
        assert Task.objects.get(task=call_on_failure.name).queue == "default"

    def test_one_that_nobody_can_read_ends_there_as_well_and_can_be_discarded(
        self, client: Any, row: Task
    ) -> None:
        cannot_be_read(row)
        assert self.tries(unsent.MOST).quarantined_at is not None
        assert "1 tasks are discarded." in act(client, "discard", row)
        assert poison.AsyncResult(row.task_id).state == states.FAILURE

    def test_started_again_in_the_admin_it_has_all_its_tries_again(
        self, client: Any, row: Task
    ) -> None:
        self.tries(unsent.MOST)
        assert "1 tasks are sent again." in act(client, "requeue", row)
        assert self.tries(unsent.MOST - 1).quarantined_at is None
        assert self.tries(1).quarantined_at is not None


class TestABrokerThatIsAway:
    def outage(self) -> list[Task]:
        with pytest.raises(Exception, match=r"(?i)memory|delivery is uncertain|connect"):
            Relay().send(store.lease(10))
        return list(Task.objects.order_by("id"))

    @pytest.mark.parametrize("full", [True, False])
    def test_is_no_rows_fault(self, full: bool, request: pytest.FixtureRequest) -> None:
        due("a", "b")
        fill_up() if full else request.getfixturevalue("no_broker")
        for _ in range(unsent.MOST + 1):
            for row in self.outage():
                assert row.due_at is not None
                assert row.error == ""
                assert row.history == []

    def test_that_takes_messages_again_gets_them_all(self) -> None:
        due("a", "b")
        fill_up()
        self.outage()
        client().config_set("maxmemory", 0)
        Relay().send(store.lease(10))
        assert waiting() == 2
        assert not Task.objects.exclude(due_at=None).exists()

    def test_nothing_is_leased_from(self) -> None:
        due("a")
        fill_up()
        with pytest.raises(Exception, match="memory"):
            Relay().run_once()
        assert Task.objects.get().sends == 1

    def test_gives_back_all_that_are_left_if_it_goes_in_the_middle(self) -> None:
        bad, *_ = due("bad", "first", "second", "third")
        compressed_by_what_is_not_there(bad)

        def goes_away(**kwargs: Any) -> None:
            if waiting() == 1:
                fill_up()

        signals.before_task_publish.connect(goes_away)
        try:
            rows = self.outage()
        finally:
            signals.before_task_publish.disconnect(goes_away)
        assert [bool(row.error) for row in rows] == [True, False, False, False]
        assert rows[1].due_at is None
        assert [row.id for row in store.lease(10)] == [rows[2].id, rows[3].id]


def test_a_full_broker_takes_nothing_and_a_bad_message_says_nothing_of_it() -> None:
    assert broker.answers()
    fill_up()
    assert not broker.answers()


def test_while_no_message_at_all_can_be_made_no_row_is_blamed(caplog: Any) -> None:
    """Or a library that beat's image lacks would fill the quarantine with all that is due."""
    due("a", "b")
    app.conf.task_compression = "middle-out"
    app.amqp.__dict__.pop("send_task_message", None)
    try:
        with pytest.raises(OperationalError, match="middle-out"):
            Relay().run_once()
    finally:
        app.conf.task_compression = None
        app.amqp.__dict__.pop("send_task_message", None)
    assert "CELERY_TASK_COMPRESSION=middle-out can't be used here" in caplog.text
    rows = Task.objects.all()
    assert [(row.error, row.history) for row in rows] == [("", [])] * 2
    Relay().run_once()
    assert waiting() == 2
