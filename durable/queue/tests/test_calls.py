"""A call is a row in the caller's transaction; a worker is given all that it has asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from celery import chord
from celery.app import routes
from celery.exceptions import Ignore
from celery.result import AsyncResult
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.models import ChordCounter
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from kombu.utils.json import loads

from durable.database.session import connect
from durable.queue import store
from durable.queue.caller import calls
from durable.queue.caller.calls import durable, plain
from durable.queue.models import Task
from proj.celery import app
from tests.durable_tasks import add, effect, keeps_no_result
from tests.fixtures_durable import client
from tests.fixtures_worker import purge_queues

from .delivery import hold, message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broker() -> Iterator[None]:
    purge_queues()
    yield
    purge_queues()


def sent() -> int:
    """Return how many messages wait in the broker."""
    return int(client().llen("default"))


def args_of_rows() -> list[Any]:
    return [loads(body)[:2] for body in Task.objects.order_by("id").values_list("body", flat=True)]


#: What JSON holds, and Celery shows in its own way.
ARGUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.text(min_size=1025, max_size=1030) | st.dates() | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def columns() -> list[dict[str, Any]]:
    """Return all that calls have written, but for what is each row's own."""
    found = []
    for values in Task.objects.order_by("id").values():
        row: dict[str, Any] = {**values}
        row["headers"] = row["headers"].replace(row.pop("task_id"), "ID")
        del row["id"], row["created_at"]
        if not row["expires"]:  # called without a time, it is its transaction's
            del row["due_at"]
        found.append(row)
    return found


def test_a_rollback_writes_nothing() -> None:
    with transaction.atomic():
        effect.delay_on_commit("a")
        transaction.set_rollback(True)
    assert not Task.objects.exists()


@pytest.mark.usefixtures("broker")
def test_a_commit_makes_the_row_ready_and_sends_no_message() -> None:
    with transaction.atomic():
        result = effect.delay_on_commit("a")
    row = Task.objects.get()
    assert (row.task, row.queue, row.attempt) == ("tests.durable_tasks.effect", "default", 0)
    assert isinstance(result, AsyncResult)
    assert result.id == row.task_id
    assert [held.id for held in hold()] == [row.pk]
    assert sent() == 0


def test_what_a_savepoint_rolled_back_is_not_kept() -> None:
    with transaction.atomic():
        kept = effect.delay_on_commit("kept")
        with transaction.atomic():
            effect.delay_on_commit("gone")
            transaction.set_rollback(True)
    assert Task.objects.get().task_id == kept.id


def test_a_time_in_the_future_is_kept_in_the_row() -> None:
    effect.apply_async_on_commit(["a"], countdown=3600)
    effect.apply_async_on_commit(["b"], eta=timezone.now() + timedelta(days=400))
    effect.apply_async_on_commit(["c"], eta=timezone.now() - timedelta(days=400))
    now, soon, late = Task.objects.order_by("due_at")
    assert now.due_at >= now.created_at, "it does not overtake those that have waited longer"
    assert 3500 < (soon.due_at - timezone.now()).total_seconds() <= 3600
    assert (late.due_at - timezone.now()).days >= 399


def test_a_countdown_goes_before_an_eta_as_in_celery() -> None:
    soon = timezone.now() + timedelta(seconds=600)
    effect.apply_async_on_commit(["a"], eta=soon, countdown=3600)
    effect.apply_async_on_commit(["b"], eta=soon, countdown=0)
    first, second = Task.objects.order_by("id")
    assert first.due_at > soon + timedelta(minutes=30)
    assert second.due_at == soon


def test_the_options_of_a_call_reach_the_worker() -> None:
    effect.apply_async_on_commit(
        ["a"], queue="mail", priority=3, headers={"mine": 1}, expires=60, time_limit=9,
        soft_time_limit=8, shadow="shown", task_id="my-id", ignore_result=True,
        link=effect.s("next"), link_error=effect.si("error"), reply_to="mine",
    )  # fmt: skip
    given = message("mail")
    headers = given.headers
    assert headers["id"] == "my-id"
    assert headers["mine"] == 1
    assert headers["timelimit"] == [9, 8]
    assert headers["shadow"] == "shown"
    assert headers["ignore_result"] is True
    assert headers["expires"] is not None
    assert given.properties["priority"] == 3
    assert given.properties["reply_to"] == "mine"
    assert given.delivery_info["routing_key"] == "mail"
    embedded = given.payload[2]
    assert embedded["callbacks"][0]["args"] == ["next"]
    assert embedded["errbacks"][0]["args"] == ["error"]


def test_options_about_the_way_through_a_broker_are_taken_and_mean_nothing() -> None:
    effect.apply_async_on_commit(
        ["a"], connection=object(), retry=True, retry_policy={}, compression="zlib",
        delivery_mode=1, producer=object(),
    )  # fmt: skip
    assert message().payload[0] == ["a"]


def test_dates_and_uuids_survive_the_row() -> None:
    moment, number = timezone.now(), UUID(int=7)
    effect.delay_on_commit({"at": moment, "id": number, "__type__": "kombu's word alone"})
    assert args_of_rows()[0][0][0] == {
        "at": moment, "id": number, "__type__": "kombu's word alone",
    }  # fmt: skip


def test_a_row_waits_in_the_lane_that_a_route_names(monkeypatch: pytest.MonkeyPatch) -> None:
    table = routes.prepare({effect.name: {"queue": "mail", "priority": 5}})
    router = routes.Router(table, app.amqp.queues, create_missing=True, app=app)
    monkeypatch.setattr(app.amqp, "router", router)
    effect.delay_on_commit("a")
    row = Task.objects.get()
    assert (row.queue, row.priority) == ("mail", 5)
    assert message("mail").properties["priority"] == 5


class TestDurable:
    def call_and_raise(self, canvas: Any, error: BaseException) -> None:
        """Call *canvas* durably, outside of a transaction, and leave the block by *error*."""
        with durable():
            canvas.delay()
            assert Task.objects.exists()
            raise error

    @pytest.mark.usefixtures("broker")
    def test_writes_rows_and_no_messages(self) -> None:
        with transaction.atomic(), durable():
            (effect.s("a") | effect.s("b")).delay()
        assert (Task.objects.count(), sent()) == (1, 0)

    def test_writes_a_canvas_as_a_whole_or_not_at_all(self) -> None:
        """Its caller may die at any row: half of a chord's header never calls the body."""
        with pytest.raises(SystemExit):
            self.call_and_raise(chord([add.s(1), add.s(2)], add.s()), SystemExit())
        assert not Task.objects.exists()
        assert not ChordCounter.objects.exists()

    def test_is_part_of_the_callers_transaction_without_statements_of_its_own(self) -> None:
        with transaction.atomic():
            with CaptureQueriesContext(connection) as queries, durable():
                effect.delay("a")
            assert len(queries) == 1
            transaction.set_rollback(True)
        assert not Task.objects.exists()

    def test_left_by_ignore_keeps_what_was_called(self) -> None:
        """By replace(), too: that rolls nothing back."""
        with pytest.raises(Ignore):
            self.call_and_raise(effect.s("a"), Ignore())
        assert Task.objects.count() == 1

    @pytest.mark.parametrize("option", [{"ignore_result": True}, {}])
    def test_refuses_a_chord_whose_body_could_never_be_called(
        self, option: dict[str, bool]
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


@pytest.mark.usefixtures("broker")
class TestPlainDelay:
    @pytest.mark.parametrize("call", [effect.delay, effect.s("x").delay])
    def test_sends_a_message_unless_everything_is_durable(self, call: Any, settings: Any) -> None:
        call(*(["a"] if call == effect.delay else []))
        assert (Task.objects.count(), sent()) == (0, 1)
        settings.DURABLE_DELAY = True
        call(*(["a"] if call == effect.delay else []))
        assert (Task.objects.count(), sent()) == (1, 1)

    def test_in_plain_sends_a_message_all_the_same(self, settings: Any) -> None:
        settings.DURABLE_DELAY = True
        with plain():
            effect.delay("a")
            effect.delay_on_commit("b")  # which asks for its row
            effect.delay("a")
        assert (args_of_rows(), sent()) == ([[["b"], {}]], 2)


@pytest.mark.parametrize("call", [keeps_no_result.delay_on_commit, keeps_no_result.delay])
def test_nobody_waits_for_a_result_that_is_ignored(call: Any) -> None:
    assert call().get(timeout=1) is None


def test_a_call_decides_whether_its_result_is_ignored() -> None:
    assert add.apply_async_on_commit([1], ignore_result=True).get(timeout=1) is None
    assert not keeps_no_result.apply_async_on_commit(ignore_result=False).ignored


class TestMany:
    def test_are_written_by_one_statement_for_each_thousand(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calls, "CHUNK", 3)
        insert_many, lengths, seen = store.insert_many, [], []

        def insert(rows: Any, places: Any) -> None:
            lengths.append(len(rows))
            insert_many(rows, places)

        monkeypatch.setattr(store, "insert_many", insert)

        def labels() -> Iterator[str]:
            for number in range(7):
                seen.append(Task.objects.count())
                yield str(number)

        assert effect.map_on_commit(labels(), queue="mail", countdown=60) == 7
        assert lengths == [3, 3, 1]
        assert seen == [0, 0, 0, 3, 3, 3, 6], "no more than these were read ahead"
        assert [args for args, _ in args_of_rows()] == [[str(number)] for number in range(7)]
        assert set(Task.objects.values_list("queue", flat=True)) == {"mail"}
        assert Task.objects.filter(due_at__gt=timezone.now()).count() == 7
        assert Task.objects.values("task_id").distinct().count() == 7

    def test_a_queryset_is_read_by_a_cursor_of_the_server(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calls, "CHUNK", 3)
        groups = Group.objects.bulk_create(Group(name=str(number)) for number in range(7))
        insert_many, cursors, held = store.insert_many, [], Group.objects.order_by("name")

        def insert(*rows: Any) -> None:
            cursors.append(store.run("SELECT count(*) FROM pg_cursors")[0][0])
            insert_many(*rows)

        monkeypatch.setattr(store, "insert_many", insert)
        assert effect.map_on_commit(held) == 7
        assert cursors == [1, 1, 0], "with the last row it has ended"
        assert held._result_cache is None, "nothing of it is kept"
        assert [args for args, _ in args_of_rows()] == [[group.pk] for group in groups]

    @pytest.mark.parametrize("shared", [True, False])
    def test_write_the_rows_that_each_call_alone_would(
        self, shared: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A route that is a function may go by the arguments."""
        table: Any = routes.prepare([{"tests.*": {"queue": "mail", "priority": 5}}])
        if not shared:
            table = [lambda name, args, *rest, **kw: {"queue": "mail", "priority": len(args)}]
        router = routes.Router(table, app.amqp.queues, create_missing=True, app=app)
        monkeypatch.setattr(app.amqp, "router", router)
        options = {
            "headers": {"mine": 1}, "shadow": "shown", "eta": timezone.now() + timedelta(days=1),
            "expires": timezone.now() + timedelta(days=2), "link": effect.s("next"),
            "soft_time_limit": 8, "stamped_headers": ["by"], "by": "me",
        }  # fmt: skip

        @examples(
            max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        )  # fmt: skip
        @given(st.lists(st.lists(ARGUMENT, max_size=3), max_size=4), st.lists(ARGUMENT, max_size=4))
        def check(by_position: list[Any], by_name: list[Any]) -> None:
            named = [{"label": value} for value in by_name]
            with transaction.atomic():
                for each in by_position:
                    keeps_no_result.apply_async_on_commit(each, **options)
                for each in named:
                    effect.apply_async_on_commit(kwargs=each)
                alone = columns()
                keeps_no_result.map_on_commit(by_position, **options)
                effect.map_on_commit(named)
                assert columns()[len(alone) :] == alone
                transaction.set_rollback(True)

        check()

    @pytest.mark.parametrize("wrong", [object(), (1, 2, 3), {"of": 1}])
    def test_are_written_all_or_none(self, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(calls, "CHUNK", 1)
        with pytest.raises(TypeError):
            effect.map_on_commit(["a", wrong])
        assert not Task.objects.exists()

    def test_take_their_arguments_by_position_by_name_or_alone(self) -> None:
        keeps_no_result.map_on_commit([(1, 2), [3], 4, "text"])
        effect.map_on_commit([{"label": "named"}])
        assert args_of_rows() == [
            [[1, 2], {}], [[3], {}], [[4], {}], [["text"], {}], [[], {"label": "named"}],
        ]  # fmt: skip


def test_a_call_after_a_while_takes_a_new_connection_in_the_place_of_one_that_was_cut() -> None:
    """A bot or a consumer has no requests, at whose start Django asks."""
    effect.delay_on_commit("a")
    connection.durable_called_at -= calls.IDLE  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    with connect("this test") as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    effect.delay_on_commit("b")
    assert Task.objects.count() == 2
