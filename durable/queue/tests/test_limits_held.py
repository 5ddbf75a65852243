"""Limits hold whatever comes: a crash, a retry, a clock that is set back, odd numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery.app.routes import Router
from django.db import OperationalError
from django.utils import timezone

from durable.journal.models import Entry
from durable.queue import conf, places, store
from durable.queue.endings import quarantine
from durable.queue.endings.actions import replay
from durable.queue.limits import Limit
from durable.queue.models import Pace, Task
from durable.queue.results import decode
from proj.celery import app
from tests.durable_tasks import effect, keeps_no_result, retries

from .delivery import WORKER, deliver, hold

pytestmark = pytest.mark.django_db(transaction=True)


def admit() -> places.Look:
    return places.admit(["default"])


def after_an_outage(row: Task) -> None:
    """The server has lost that the row had a place, and its process finds it limited."""
    keeps_no_result.apply_async_on_commit(priority=-5)
    admit()
    quarantine.postpone_after_outage(row.pk, 1, WORKER, OperationalError("gone"))


def by_a_worker_that_thaws(row: Task) -> None:
    """It asks for a retry of an attempt that is in quarantine, and was started again."""
    keeps_no_result.delay_on_commit()
    admit()
    [held] = hold()
    number = store.begin(held.id, held.attempt, WORKER) or 0
    cause = quarantine.REJECTED._replace(limit=1)
    quarantine.postpone_or_quarantine(row.pk, number, cause, "poison")
    admit()
    quarantine.requeue([row.pk], "me")
    assert store.reschedule(row.pk, number, timezone.now(), "retry")


@pytest.mark.parametrize("postponed", [after_an_outage, by_a_worker_that_thaws])
def test_a_row_in_order_takes_no_place_that_another_has_by_now(
    postponed: Callable[[Task], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeps_no_result, "limit", Limit(in_order=True))
    keeps_no_result.delay_on_commit()
    row = Task.objects.get()
    postponed(row)
    admit()
    with_a_place = Task.objects.filter(eligible_at=None)
    assert with_a_place.exclude(pk=row.pk).count() == with_a_place.count() == 1


def test_a_retry_keeps_the_limit_of_its_queue_for_its_next_life(
    effect_table: None, settings: Any
) -> None:
    settings.DURABLE_LIMITS = {"default": Limit(rate="10/s")}
    retries.delay_on_commit("a", 1, 60)
    before = decode(Task.objects.get().headers)[conf.LIMIT]
    admit()
    deliver()
    row = Task.objects.get()
    assert decode(row.headers)[conf.LIMIT] == before == [row.key, None, 10.0, False]


@pytest.mark.parametrize("value", [10, "ten", ["a", 1, None, False]])
def test_a_header_of_the_callers_own_is_no_limit(effect_table: None, value: Any) -> None:
    retries.apply_async_on_commit(["a", 1, 60], headers={"limit": value, conf.LIMIT: value})
    deliver()
    row = Task.objects.get()
    assert (row.attempt, row.worker, row.key) == (1, None, None)
    deliver(row)
    assert replay([Entry.objects.latest("ended_at").pk], "me").started == 1
    again = Task.objects.get()
    assert (again.key, decode(again.headers)["limit"]) == (None, value)


def test_of_many_calls_some_may_be_led_to_a_queue_with_a_limit(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def route(name: str, args: Any, *rest: Any, **more: Any) -> dict[str, str] | None:
        return {"queue": "mail"} if args and args[0] == "letter" else None

    settings.DURABLE_LIMITS = {"mail": Limit(rate="10/s")}
    router = Router([route], app.amqp.queues, True, app=app)
    monkeypatch.setattr(app.amqp, "router", router)
    assert effect.map_on_commit(["a", "letter", "b"]) == 3
    assert Task.objects.get(key="queue:mail").eligible_at is not None
    assert Task.objects.filter(key=None, queue="default").count() == 2


@pytest.mark.parametrize(
    "limit", [{"rate": rate} for rate in ("nan", "inf", 1e12, 1 / 604_800)] + [{"at_once": 2**31}]
)
def test_a_number_that_no_look_could_count_with_is_refused(limit: dict[str, Any]) -> None:
    """In a row, it would keep every worker from letting any key's rows in line, or be forgotten."""
    with pytest.raises(ValueError, match="Limit"):
        Limit(**limit)


@pytest.mark.parametrize("rate", [1 / 86_400, 1e6])
def test_the_least_and_the_most_let_rows_in_line(
    rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeps_no_result, "limit", Limit(rate=rate))
    keeps_no_result.delay_on_commit()
    assert admit().lanes == ["0 default"]


def test_a_rate_goes_on_after_the_server_s_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeps_no_result, "limit", Limit(rate="60/h"))
    keeps_no_result.map_on_commit([(), ()])
    key = f"task:{keeps_no_result.name}"
    Pace.objects.create(key=key, since_at=timezone.now() + timedelta(days=1))
    assert admit().lanes == ["0 default"]
    row = Task.objects.get(eligible_at=None)
    store.finish([(row.pk, 0)])
    assert admit().lanes == [], "and not faster than its rate"
