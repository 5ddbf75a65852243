"""Calls that are written once: while another one waits or runs, for a time, or for an event."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from celery import shared_task
from django.db import connection, transaction
from django.db.models.functions import Now
from pydantic import BaseModel

from durable.housekeeping.tasks import purge_seen
from durable.queue import store
from durable.queue.caller.calls import durable
from durable.queue.endings.janitor import revoke_expired
from durable.queue.models import Seen, Task
from durable.queue.worker.request import Request
from proj.celery import app
from tests.durable_tasks import add, effect, keeps_no_result, retries

from .delivery import begin, deliver, hold, message


class Name(BaseModel):
    """An argument that is a model."""

    text: str


@shared_task(pydantic=True)
def greets(name: Name) -> None: ...


@pytest.mark.django_db
class TestWhileOneWaits:
    def test_a_call_is_written_once_however_its_arguments_are_passed(self) -> None:
        first = effect.unique().delay_on_commit("a")
        assert first.is_new
        assert not effect.unique().delay_on_commit(label="a").is_new
        assert effect.unique().delay_on_commit("a").id == first.id
        assert effect.unique().delay_on_commit("b").is_new
        assert Task.objects.count() == 2

    def test_nor_in_which_order_the_names_of_a_dict_stand(self) -> None:
        assert add.unique().delay_on_commit({"a": 1, "b": {"c": 2, "d": 3}}).is_new
        assert not add.unique().delay_on_commit({"b": {"d": 3, "c": 2}, "a": 1}).is_new

    def test_arguments_that_pydantic_checks_are_a_key_as_well(self) -> None:
        for is_new in (True, False):
            assert greets.unique().delay_on_commit(Name(text="a")).is_new is is_new

    def test_a_key_is_one_task_s(self) -> None:
        assert effect.unique(7).delay_on_commit("a").is_new
        assert not effect.unique(7).delay_on_commit("b").is_new
        assert add.unique(7).delay_on_commit(1).is_new

    def test_another_one_is_written_once_it_has_begun_even_if_it_is_to_be_tried_again(
        self, effect_table: None
    ) -> None:
        retries.unique("k").delay_on_commit("a", 1, countdown=3600)
        deliver()
        assert Task.objects.get().attempt == 1
        assert retries.unique("k").delay_on_commit("a", 1).is_new

    def test_a_call_that_is_rolled_back_stands_in_nobody_s_way(self) -> None:
        with transaction.atomic():
            effect.unique("k").delay_on_commit("a")
            transaction.set_rollback(True)
        assert effect.unique("k").delay_on_commit("a").is_new

    def test_canvas_and_apply_async_take_it_as_an_option(self) -> None:
        once = store.Once("k", False)
        with durable():
            effect.s("a").apply_async(unique=once)
            assert not effect.s("a").apply_async(unique=once).is_new


@pytest.mark.django_db
class TestWhileOneIsUnfinished:
    def test_a_call_is_not_written_while_another_one_runs(self) -> None:
        unique = keeps_no_result.unique(while_="unfinished")
        first = unique.delay_on_commit()
        row = Task.objects.get()
        number = begin(row)
        assert unique.delay_on_commit().id == first.id
        store.finish_one(row.pk, number)
        assert unique.delay_on_commit().is_new


@pytest.mark.django_db
@pytest.mark.parametrize("while_", ["waiting", "unfinished"])
class TestOneThatExpires:
    """It stands for the calls after it, too: it must not end before they would."""

    @pytest.mark.parametrize("later", [None, 600])
    def test_waits_as_long_as_those_that_rely_on_it(
        self, while_: Any, later: int | None, effect_table: None
    ) -> None:
        unique = effect.unique("k", while_=while_)
        first = unique.apply_async_on_commit(["a"], expires=60)
        Task.objects.update(expires=Now() - timedelta(seconds=1))  # and no janitor has looked
        assert unique.apply_async_on_commit(["a"], expires=later).id == first.id
        assert revoke_expired() == 0
        held = message()
        given = Request(held, app=app, task=effect, eventer=None)
        assert not given.revoked()
        assert bool(given.expires) is bool(later)

    def test_is_not_cut_short_by_one_that_expires_sooner(self, while_: Any) -> None:
        unique = effect.unique("k", while_=while_)
        unique.delay_on_commit("a")
        unique.apply_async_on_commit(["a"], expires=60)
        assert Task.objects.get().expires is None

    def test_is_not_revoked_by_a_worker_that_holds_it_since_before(
        self, while_: Any, transactional_db: None
    ) -> None:
        unique = effect.unique("k", while_=while_)
        unique.apply_async_on_commit(["a"], expires=0.001)
        Task.objects.update(expires=None)  # so that it can be held
        held = message()
        held._hand.left = lambda message: None  # type: ignore[method-assign]
        Task.objects.update(expires=Now() - timedelta(seconds=1))
        assert not unique.delay_on_commit("a").is_new
        assert Request(held, app=app, task=effect, eventer=None).revoked()
        Task.objects.update(worker=None)  # its signs of life let go of it
        assert not Request(message(), app=app, task=effect, eventer=None).revoked()


@pytest.mark.django_db
class TestForATime:
    def test_a_call_is_not_written_again_within_it_whatever_has_become_of_the_first(self) -> None:
        hourly = effect.unique("k", within=timedelta(hours=1))
        first = hourly.delay_on_commit("a")
        Task.objects.all().delete()
        assert hourly.delay_on_commit("a").id == first.id
        Seen.objects.update(until=Now())
        assert hourly.delay_on_commit("a").is_new

    def test_an_event_is_handled_once(self) -> None:
        first = effect.apply_async_on_commit(["a"], dedupe="evt_1")
        second = effect.apply_async_on_commit(["a"], dedupe="evt_1")
        assert (first.is_new, second.is_new, second.id) == (True, False, first.id)
        assert effect.apply_async_on_commit(["a"], dedupe="evt_2").is_new

    def test_what_is_over_is_deleted(self) -> None:
        effect.apply_async_on_commit(["a"], dedupe="evt_1")
        assert purge_seen() == 0
        Seen.objects.update(until=Now() - timedelta(seconds=1))
        assert purge_seen() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "call",
    [
        lambda: effect.unique("k", while_="waiting", within=timedelta(1)),
        lambda: effect.unique("k", while_="held"),
        lambda: effect.unique("x" * 256),
        lambda: effect.unique("k", within=timedelta()),
        lambda: effect.unique("k").map_on_commit(["a"]),
        lambda: effect.apply_async(["a"], dedupe="plain"),
        lambda: effect.unique("k").apply_async_on_commit(["a"], dedupe="both"),
    ],
)
def test_what_can_not_be_kept_is_refused(call: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        call()
    assert not Task.objects.exists()


def test_no_change_of_a_caller_is_missed_and_no_two_calls_wait(effect_table: None) -> None:
    """Callers change something and call a unique task; what it reads last is all of it."""
    callers, each = 4, 25
    done = Event()
    unique = keeps_no_result.unique("k")

    def calls(caller: int) -> Counter[bool]:
        new: Counter[bool] = Counter()
        for number in range(each):
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO test_effect VALUES ('change', %s)", [caller])
                result = unique.delay_on_commit()
                if number % 5 == 4:
                    transaction.set_rollback(True)
                else:
                    new[result.is_new] += 1
        connection.close()
        return new

    def works() -> tuple[int, int]:
        runs = seen = 0
        while True:
            over = done.is_set()
            assert Task.objects.filter(started_at=None).count() <= 1
            rows = hold()
            for row in rows:
                number = store.begin(row.id, row.attempt, "this test")
                assert number
                with connection.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM test_effect")
                    [seen] = cursor.fetchone()
                store.finish_one(row.id, number)
                runs += 1
            if over and not rows:
                connection.close()
                return runs, seen

    with ThreadPoolExecutor(callers + 1) as pool:
        worker = pool.submit(works)
        new = sum((found.result() for found in [pool.submit(calls, n) for n in range(callers)]),
                  Counter())  # fmt: skip
        done.set()
        runs, seen = worker.result()
    assert seen == callers * each * 4 // 5, "the last run has seen what every caller has committed"
    assert new[True] == runs, "each new one has run once"
