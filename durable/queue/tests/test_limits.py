"""Limits by key: how many at once, how often, in which order, and in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from durable.journal.models import Entry
from durable.queue import places, store
from durable.queue.endings import quarantine
from durable.queue.endings.actions import replay
from durable.queue.limits import Limit
from durable.queue.models import Pace, Task
from tests.durable_tasks import effect, keeps_no_result

from .delivery import WORKER, deliver, hold

HOUR = timedelta(hours=1)


def call(key: str, count: int = 1, **options: Any) -> None:
    keeps_no_result.map_on_commit([()] * count, concurrency_key=key, **options)


def admit() -> None:
    places.admit(["default"])


def in_line() -> Counter[str | None]:
    """Return how many rows of each key have a place."""
    return Counter(Task.objects.filter(eligible_at=None).values_list("key", flat=True))


def run_one() -> str | None:
    """Run the next row in line to its end; return its key."""
    [row] = hold()
    number = store.begin(row.id, row.attempt, WORKER)
    assert number
    store.finish_one(row.id, number)
    return row.key


@pytest.mark.django_db
class TestAtOnce:
    def test_as_many_of_a_key_stand_in_line_as_may_run_and_the_others_are_limited(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keeps_no_result, "limit", Limit(at_once=2))
        call("a", 3)
        call("b", 1)
        assert not hold(9), "none has a place before it was let in line"
        admit()
        assert in_line() == {"a": 2, "b": 1}
        assert len(hold(9)) == 3
        admit()
        assert in_line() == {"a": 2, "b": 1}, "what is held has its place"

    def test_a_place_is_free_when_its_task_has_ended(self) -> None:
        call("a", 2)
        admit()
        run_one()
        assert not hold()
        admit()
        assert run_one() == "a"

    @pytest.mark.parametrize("how", ["retry", "reject", "quarantine", "discard"])
    def test_a_place_is_free_when_its_task_waits_for_another_try_or_a_person(
        self, how: str
    ) -> None:
        call("a", 2)
        admit()
        [row] = hold()
        number = store.begin(row.id, row.attempt, WORKER) or 0
        if how == "retry":
            store.reschedule(row.id, number, timezone.now() + HOUR, how)
        elif how == "discard":
            store.finish([(row.id, number)])
        else:
            cause = quarantine.REJECTED._replace(limit=1 if how == "quarantine" else 9)
            quarantine.postpone_or_quarantine(row.id, number, cause, how)
        admit()
        assert in_line()["a"] - (how == "quarantine") == 1
        assert hold()[0].id != row.id

    @pytest.mark.parametrize("in_order", [False, True])
    def test_a_task_that_the_worker_does_not_know_holds_up_those_in_order_alone(
        self, in_order: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for task in (effect, keeps_no_result):
            monkeypatch.setattr(task, "limit", Limit(at_once=1, key="a", in_order=in_order))
        effect.delay_on_commit("unknown")
        keeps_no_result.delay_on_commit()
        places.admit(["default"], known=[keeps_no_result.name])
        admitted = Task.objects.get(eligible_at=None)
        assert admitted.task == (effect if in_order else keeps_no_result).name
        assert len(hold(9)) == 1

    def test_a_crash_keeps_the_place_and_leaks_none(self) -> None:
        call("a", 2)
        for _ in range(3):
            admit()
            [row] = hold()
            store.begin(row.id, row.attempt, WORKER)
            quarantine.release("worker = %(me)s", {"me": WORKER}, "it died")
        admit()
        assert in_line() == {"a": 1}

    def test_what_was_in_quarantine_needs_a_place_again(self) -> None:
        call("a")
        admit()
        [row] = hold()
        cause = quarantine.UNREADABLE._replace(limit=1)
        quarantine.postpone_or_quarantine(row.id, row.attempt, cause, "why")
        quarantine.requeue([row.id], "me")
        assert not in_line()
        admit()
        assert in_line() == {"a": 1}

    def test_what_is_called_for_later_has_no_place_before(self) -> None:
        call("a", countdown=3600)
        call("a")
        admit()
        assert in_line() == {"a": 1}
        run_one()
        admit()
        assert not in_line()
        Task.objects.update(eligible_at=timezone.now())
        admit()
        assert in_line() == {"a": 1}

    def test_its_next_life_has_the_same_limit(self, transactional_db: None) -> None:
        keeps_no_result.apply_async_on_commit(concurrency_key="a")
        admit()
        deliver()
        assert replay([Entry.objects.latest("ended_at").pk], "me").started == 1
        row = Task.objects.get()
        assert (row.key, row.at_once, bool(row.eligible_at)) == ("a", 1, True)


@pytest.mark.django_db
class TestByWhat:
    def test_a_task_s_own_key_is_made_of_the_arguments(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit = Limit(at_once=3, rate="60/m", key=lambda label: f"customer:{label}")
        monkeypatch.setattr(effect, "limit", limit)
        effect.delay_on_commit("x")
        effect.map_on_commit(["y"])
        found = Task.objects.order_by("id").values_list("key", "at_once", "rate", "in_order")
        assert list(found) == [("customer:x", 3, 1.0, False), ("customer:y", 3, 1.0, False)]

    def test_without_a_key_all_calls_of_the_task_or_in_the_queue_count_together(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        settings.DURABLE_LIMITS = {"mail": Limit(rate="1/s")}
        effect.apply_async_on_commit(["x"], queue="mail")
        monkeypatch.setattr(effect, "limit", Limit(at_once=1))
        effect.apply_async_on_commit(["x"], queue="mail")
        effect.apply_async_on_commit(["x"], concurrency_key="own")
        keys = Task.objects.order_by("id").values_list("key", flat=True)
        assert list(keys) == ["queue:mail", f"task:{effect.name}", "own"]

    @pytest.mark.parametrize(
        "wrong",
        [
            Limit, lambda: Limit(at_once=0), lambda: Limit(at_once=2, in_order=True),
            lambda: Limit(rate="often"), lambda: Limit(rate=0),
            lambda: effect.apply_async_on_commit(["x"], concurrency_key="k" * 201),
            lambda: effect.apply_async(["plain"], concurrency_key="k"),
        ],
    )  # fmt: skip
    def test_what_limits_nothing_or_can_not_be_kept_is_refused(
        self, wrong: Callable[[], object]
    ) -> None:
        with pytest.raises((TypeError, ValueError)):
            wrong()


@pytest.mark.django_db
class TestInOrder:
    def test_one_after_the_other_and_what_is_to_be_tried_again_keeps_its_turn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keeps_no_result, "limit", Limit(in_order=True))
        call("a", 3)
        ids = list(Task.objects.order_by("id").values_list("pk", flat=True))
        for row_id in ids:
            admit()
            [row] = hold()
            assert row.id == row_id
            number = store.begin(row.id, row.attempt, WORKER) or 0
            store.reschedule(row.id, number, timezone.now() + HOUR, "retry")
            admit()
            assert not hold(), "it waits for its next try, and the others for it"
            Task.objects.filter(pk=row_id).update(due_at=Now())
            run_one()


def make_room(monkeypatch: pytest.MonkeyPatch, **limit: Any) -> None:
    monkeypatch.setattr(keeps_no_result, "limit", Limit(**limit))


@pytest.mark.django_db
class TestARate:
    def test_no_more_stand_in_line_than_have_begun_since_and_time_lets_more_in(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_room(monkeypatch, rate="1/h")
        call("a", 3)
        admit()
        assert in_line() == {"a": 1}
        run_one()
        look = places.admit(["default"])
        assert not in_line()
        assert look.seconds is not None
        assert 3000 < look.seconds <= 3600
        Pace.objects.update(since_at=F("since_at") - 5 * HOUR)
        admit()
        assert in_line() == {"a": 1}, "what was not used is lost but for one"

    def test_a_worker_that_is_late_does_not_begin_all_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_room(monkeypatch, rate="60/h")
        call("a", 3)
        for _ in range(3):
            admit()
            Pace.objects.update(since_at=F("since_at") - timedelta(minutes=5))
        assert in_line() == {"a": 1}, "the one in line has not begun"


@pytest.mark.django_db
class TestInTurn:
    def test_a_key_with_many_rows_does_not_hold_up_another_with_few(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_room(monkeypatch, at_once=2)
        call("many", 200)
        call("few", 5)
        ran: list[str | None] = []
        while ran.count("few") < 5:
            admit()
            ran.append(run_one())
        assert ran.count("many") <= 7

    def test_a_look_goes_on_where_the_one_before_has_ended(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(places, "KEYS", 3)
        monkeypatch.setattr(places, "_EVERY", places._EVERY.replace("LIMIT 2000", "LIMIT 3"))
        for number in range(7):
            call(f"k{number}")
        after, looks = "", 0
        while looks == 0 or after:
            after, looks = places.admit(["default"], after=after).after, looks + 1
        assert (in_line().total(), looks) == (7, 3)


def test_never_more_of_a_key_run_than_may_whatever_happens_at_the_same_time(
    effect_table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that admit, run, and die at once; each effect says how many ran beside it."""
    make_room(monkeypatch, at_once=2)
    for key in ("a", "b", "c"):
        call(key, 40)

    def takes_effect(row: store.Held) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO test_effect (label, start) SELECT %s, count(*) FROM"
                " durable_task WHERE key = %s AND started_at IS NOT NULL",
                [row.key, row.key],
            )

    # As many as may: the workers below might by chance run one of a key after the other.
    places.admit(["default"])
    begun = [(row, store.begin(row.id, row.attempt, "first")) for row in hold(6, "first")]
    for row, _ in begun:
        takes_effect(row)
    for row, attempt in begun:
        store.finish_one(row.id, attempt or 0)

    def works(number: int) -> None:
        me = f"worker {number}"
        while Task.objects.exists():
            places.admit(["default"])
            for row in hold(2, me):
                attempt = store.begin(row.id, row.attempt, me)
                if attempt is None:
                    continue
                takes_effect(row)
                if row.id % 7 == 0 and row.attempt == 0:
                    quarantine.release("worker = %(me)s", {"me": me}, "it died")
                else:
                    store.finish_one(row.id, attempt)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        for worker in [pool.submit(works, number) for number in range(4)]:
            worker.result()
    with connection.cursor() as cursor:
        cursor.execute("SELECT label, count(*) >= 40, max(start) FROM test_effect GROUP BY 1")
        assert sorted(cursor.fetchall()) == [(key, True, 2) for key in ("a", "b", "c")]
