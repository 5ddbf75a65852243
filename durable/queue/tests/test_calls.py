"""A call is a row in the caller's transaction, and a message once that commits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from celery import chord
from celery.app import routes
from celery.exceptions import Ignore
from celery.result import AsyncResult
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.models import ChordCounter
from kombu.entity import Exchange, Queue
from kombu.utils.json import loads

from durable.queue import broker, conf, fastpath
from durable.queue.calls import Batch, durable
from durable.queue.models import Task
from proj.celery import app
from tests.durable_tasks import add, effect, keeps_no_result
from tests.fixtures_worker import purge_queues

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def empty_broker() -> None:
    purge_queues()


def messages() -> list[str]:
    """Take the ids of the tasks that wait in the default queue."""
    found: list[str] = []
    with app.connection_for_read() as connection_:
        queue = connection_.SimpleQueue("default")
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                return found
            found.append(message.headers["id"])
            message.ack()


def test_a_rollback_writes_and_sends_nothing() -> None:
    with transaction.atomic():
        effect.delay_on_commit("a")
        transaction.set_rollback(True)
    assert not Task.objects.exists()
    assert messages() == []


def test_after_the_commit_the_message_is_with_the_broker_and_the_row_says_so() -> None:
    with transaction.atomic():
        result = effect.delay_on_commit("a")
        assert messages() == []
    row = Task.objects.get()
    assert (row.task, row.queue, row.sends, row.starts) == (
        "tests.durable_tasks.effect", "default", 1, 0,
    )  # fmt: skip
    assert row.due_at is None
    assert row.sent_at is not None
    assert messages() == [row.task_id]
    assert isinstance(result, AsyncResult)
    assert result.id == row.task_id


def test_outside_of_a_transaction_the_row_is_committed_at_once() -> None:
    effect.delay_on_commit("a")
    assert len(messages()) == Task.objects.count() == 1


def test_one_transaction_publishes_its_tasks_by_one_callback() -> None:
    with transaction.atomic():
        for number in range(20):
            with transaction.atomic():
                effect.delay_on_commit(str(number))
        callbacks = [entry[1] for entry in connection.run_on_commit]
        assert [type(callback) for callback in callbacks] == [Batch]
    assert len(messages()) == 20


def test_what_a_savepoint_rolled_back_is_neither_kept_nor_sent() -> None:
    with transaction.atomic():
        kept = effect.delay_on_commit("kept")
        with transaction.atomic():
            effect.delay_on_commit("gone")
            transaction.set_rollback(True)
        with transaction.atomic():
            also = effect.delay_on_commit("also kept")
    assert set(messages()) == {kept.id, also.id}
    assert Task.objects.count() == 2


def test_a_batch_that_began_in_a_rolled_back_savepoint_does_not_take_others_with_it() -> None:
    with transaction.atomic():
        with transaction.atomic():
            effect.delay_on_commit("gone")
            transaction.set_rollback(True)
        kept = effect.delay_on_commit("kept")
    assert messages() == [kept.id]


def test_a_time_in_the_future_stays_in_the_table() -> None:
    effect.apply_async_on_commit(["a"], countdown=3600)
    effect.apply_async_on_commit(["b"], eta=timezone.now() + timedelta(days=400))
    assert messages() == []
    soon, late = Task.objects.order_by("due_at")
    assert soon.due_at is not None
    assert late.due_at is not None
    assert 3500 < (soon.due_at - timezone.now()).total_seconds() <= 3600
    assert (late.due_at - timezone.now()).days >= 399


def test_the_options_of_a_call_reach_the_message() -> None:
    effect.apply_async_on_commit(
        ["a"], queue="mail", priority=3, headers={"mine": 1}, expires=60, time_limit=9,
        soft_time_limit=8, shadow="shown", task_id="my-id", ignore_result=True,
        link=effect.s("next"), link_error=effect.si("error"),
    )  # fmt: skip
    with app.connection_for_read() as connection_:
        message = connection_.SimpleQueue("mail").get(timeout=5)
        message.ack()
    headers = message.headers
    assert headers["id"] == "my-id"
    assert headers["mine"] == 1
    assert headers["timelimit"] == [9, 8]
    assert headers["shadow"] == "shown"
    assert headers["ignore_result"] is True
    assert headers["expires"] is not None
    assert message.properties["priority"] == 3
    embedded = message.payload[2]
    assert embedded["callbacks"][0]["args"] == ["next"]
    assert embedded["errbacks"][0]["args"] == ["error"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"connection": object()}, "can't take connection="),
        ({"retry_policy": {}}, "sending is retried until it succeeds"),
        ({"serializer": "pickle"}, "stored as JSON and can't take serializer='pickle'"),
        ({"compression": "middle-out"}, "compression='middle-out' is not installed here"),
        ({"colour": "red"}, "the outbox doesn't know it"),
    ],
)
def test_what_a_row_cannot_keep_is_refused_at_the_call(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        effect.apply_async_on_commit(["a"], **options)
    assert not Task.objects.exists()


def test_wrong_arguments_are_refused_at_the_call_as_celery_does() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        effect.delay_on_commit()


def test_arguments_that_json_cannot_hold_are_refused_at_the_call() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        effect.delay_on_commit(object())


def test_dates_and_uuids_survive_the_row() -> None:
    moment, number = timezone.now(), UUID(int=7)
    effect.apply_async_on_commit([{"at": moment, "id": number}], countdown=60)
    args, _, _ = loads(Task.objects.get().body)
    assert args[0] == {"at": moment, "id": number}


def test_inside_durable_a_chain_writes_rows_and_no_messages() -> None:
    with transaction.atomic(), durable():
        (effect.s("a") | effect.s("b")).delay()
        assert Task.objects.count() == 1
        assert messages() == []
    assert len(messages()) == 1


def call_and_raise(canvas: Any, error: BaseException) -> None:
    """Call *canvas* durably, outside of a transaction, and leave the block by *error*."""
    with durable():
        canvas.delay()
        assert Task.objects.exists()
        raise error


def test_a_durable_canvas_is_written_as_a_whole_or_not_at_all() -> None:
    """Its caller may die at any row: half of a chord's header never calls the body."""

    with pytest.raises(SystemExit):
        call_and_raise(chord([add.s(1), add.s(2)], add.s()), SystemExit())
    assert not Task.objects.exists()
    assert not ChordCounter.objects.exists()
    assert messages() == []


def test_it_is_part_of_the_callers_transaction_without_statements_of_its_own() -> None:
    with transaction.atomic():
        with CaptureQueriesContext(connection) as queries, durable():
            effect.delay("a")
        assert len(queries) == 1
        transaction.set_rollback(True)
    assert not Task.objects.exists()


def test_a_task_that_ends_itself_inside_keeps_what_it_has_called() -> None:
    """By Ignore, as replace() does: that rolls nothing back."""
    with pytest.raises(Ignore):
        call_and_raise(effect.s("a"), Ignore())
    assert Task.objects.count() == 1


@pytest.mark.parametrize("option", [{"ignore_result": True}, {}])
def test_a_chord_whose_body_could_never_be_called_is_refused_at_the_call(
    option: dict[str, bool],
) -> None:
    """The body gets the results of the header."""
    header = [add.s(1), (add.s(2).set(**option) if option else keeps_no_result.s(2))]
    refused = pytest.raises(TypeError, match="a chord's body gets the results of its header")
    with refused, durable():
        chord(header)(add.s())
    assert not Task.objects.exists()
    with durable():
        chord([add.s(1)])(keeps_no_result.s())
    assert Task.objects.count() == 1


@pytest.mark.parametrize("call", [keeps_no_result.delay_on_commit, keeps_no_result.delay])
def test_nobody_waits_for_a_result_that_is_ignored(call: Any) -> None:
    assert call().get(timeout=1) is None


def test_a_call_decides_whether_its_result_is_ignored() -> None:
    assert add.apply_async_on_commit([1], ignore_result=True).get(timeout=1) is None
    assert not keeps_no_result.apply_async_on_commit(ignore_result=False).ignored


def test_plain_delay_writes_no_row() -> None:
    effect.delay("a")
    assert not Task.objects.exists()
    assert len(messages()) == 1


@pytest.mark.usefixtures("no_broker")
class TestABrokerThatIsAway:
    def test_the_call_succeeds_and_later_callbacks_run(self) -> None:
        ran = []
        with transaction.atomic():
            effect.delay_on_commit("a")
            transaction.on_commit(lambda: ran.append(1))
        row = Task.objects.get()
        assert ran == [1]
        assert row.sent_at is None
        assert row.due_at is not None
        assert row.due_at <= timezone.now()

    def test_the_next_call_does_not_even_try(self, monkeypatch: pytest.MonkeyPatch) -> None:
        effect.delay_on_commit("a")
        assert fastpath.breaker.is_open
        monkeypatch.setattr(broker, "publish", lambda rows: pytest.fail("it tried"))
        effect.delay_on_commit("b")
        assert Task.objects.filter(due_at__lte=timezone.now(), sent_at=None).count() == 2


def test_a_row_waits_in_the_lane_that_its_message_goes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if neither the call nor the task names it, but a route."""
    table = routes.prepare({effect.name: {"queue": "mail", "priority": 5}})
    router = routes.Router(table, app.amqp.queues, create_missing=True, app=app)
    monkeypatch.setattr(app.amqp, "router", router)
    effect.delay_on_commit("a")
    row = Task.objects.get()
    assert (row.queue, row.priority) == ("mail", 5)
    with app.connection_for_read() as connection_:
        message = connection_.SimpleQueue("mail").get(timeout=5)
        message.ack()
    assert message.properties["priority"] == 5
    assert message.headers[conf.HEADER][3] == "mail/5"


@pytest.mark.parametrize(
    "options", [{"queue": "videos"}, {"exchange": "media", "routing_key": "media.video"}]
)
def test_behind_an_exchange_the_row_waits_in_the_queue_and_its_message_says_so(
    options: dict[str, str],
) -> None:
    app.amqp.queues.add(Queue("videos", Exchange("media", "topic"), routing_key="media.video"))
    server = app.connection_for_write().default_channel.client
    try:
        effect.apply_async_on_commit(["a"], **options)
        [message] = server.lrange("videos", 0, -1)
    finally:
        app.amqp.queues.pop("videos")
        server.delete("videos")
    assert Task.objects.get().queue == "videos"
    found = loads(message)
    assert found["properties"]["delivery_info"]["routing_key"] == "media.video"
    assert found["headers"][conf.HEADER][3] == "videos/0"
