"""A test sees what was called, and runs it: without a broker, a worker, or a wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import chain, chord, shared_task, states
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from durable.queue.caller.calls import durable
from durable.queue.endings.actions import Kind, pause
from durable.queue.models import Task as Row
from durable.testing.tasks import Tasks, TasksMixin

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


@shared_task
def charge(pk: int, *, cents: int = 100) -> int:
    """Write an effect."""
    Group.objects.create(name=f"{pk} {cents}")
    transaction.on_commit(lambda: seen.append("committed"))
    return pk + cents


@shared_task
def say(what: Any) -> Any:
    """Keep what it is given, and when."""
    seen.append((what, timezone.now()))
    return what


@shared_task(bind=True, max_retries=2)
def stumbles(self: Any, times: int) -> int:
    """Ask for another attempt, an hour later."""
    Group.objects.create(name=f"attempt {self.request.retries}")
    seen.append(timezone.now())
    if self.request.retries < times:
        raise self.retry(countdown=3600, exc=ValueError("not yet"))
    return int(self.request.retries)


@shared_task
def calls_itself() -> None:
    """Have no end."""
    calls_itself.delay_on_commit()


def test_a_call_is_found_however_its_arguments_were_passed(tasks: Tasks) -> None:
    charge.delay_on_commit(1)
    charge.delay(pk=2, cents=5)
    assert tasks.assert_called(charge, pk=1).due_at is None
    tasks.assert_called(charge, 2, cents=5)
    tasks.assert_not_called(charge, 2)
    tasks.assert_not_called(say)
    assert len(tasks.called(charge)) == 2


def test_a_call_that_is_missing_is_told_with_those_that_are_not(tasks: Tasks) -> None:
    with pytest.raises(AssertionError, match="nothing was"):
        tasks.assert_called(charge)
    charge.delay_on_commit(1)
    with pytest.raises(AssertionError, match=r"charge\(pk=2\) was not called; these.*\n.*\(1\)"):
        tasks.assert_called(charge, pk=2)
    with pytest.raises(TypeError, match="charge: missing a required argument: 'pk'"):
        tasks.assert_called(charge, id=1)


def test_a_call_that_is_rolled_back_is_none(tasks: Tasks) -> None:
    with transaction.atomic():
        charge.delay_on_commit(1)
        transaction.set_rollback(True)
    assert tasks.calls == []
    assert tasks.run() == []


def test_a_run_makes_the_effects_and_what_follows_the_commit(tasks: Tasks) -> None:
    result = charge.delay_on_commit(1)
    assert [(ran.state, ran.result) for ran in tasks.run()] == [(states.SUCCESS, 101)]
    assert Group.objects.get().name == "1 100"
    assert (result.get(timeout=5), seen) == (101, ["committed"])
    tasks.assert_called(charge, pk=1)
    assert tasks.run() == []


def test_a_chain_and_a_chord_run_to_their_end(tasks: Tasks) -> None:
    with durable():
        chain(say.s(1), say.s(), say.s()).delay()
        chord([say.s(2), say.s(3)])(say.s())
    assert len(tasks.run()) == 6
    whats = [what for what, _ in seen]
    assert (whats.count(1), whats.count([2, 3])) == (3, 1)


def test_a_failure_is_raised_and_its_effects_are_gone(tasks: Tasks) -> None:
    result = stumbles.delay_on_commit(3)
    with pytest.raises(ValueError, match="not yet"):
        tasks.run(until=timedelta(days=1))
    assert result.state == states.FAILURE
    assert not Group.objects.exists()
    assert not Row.objects.exists()


def test_a_retry_waits_for_its_time_which_a_test_lets_pass(tasks: Tasks) -> None:
    tasks.freeze(datetime(2030, 1, 1, tzinfo=UTC))
    result = stumbles.delay_on_commit(2)
    assert [ran.state for ran in tasks.run()] == [states.RETRY]
    assert tasks.run(until=timedelta(minutes=59)) == []
    ran = tasks.run(until=timedelta(hours=2))
    assert [one.state for one in ran] == [states.RETRY, states.SUCCESS]
    assert [at.hour for at in seen] == [0, 1, 2]
    assert result.get(timeout=5) == 2
    assert Group.objects.get().name == "attempt 2"
    assert timezone.now() == datetime(2030, 1, 1, 2, 59, tzinfo=UTC)


@pytest.mark.parametrize("year", [2020, 2040])
def test_tasks_run_in_the_order_of_their_times_and_not_after_they_expire(
    tasks: Tasks, year: int
) -> None:
    tasks.travel(datetime(year, 1, 1, tzinfo=UTC))
    say.apply_async_on_commit(["late"], countdown=7200)
    say.apply_async_on_commit(["soon"], countdown=60)
    say.apply_async_on_commit(["over"], countdown=600, expires=300)
    say.delay_on_commit("now")
    tasks.run(until=timedelta(days=1))
    assert [what for what, _ in seen] == ["now", "soon", "late"]
    assert seen[1][1] - seen[0][1] > timedelta(seconds=59)
    assert timezone.now().year == year
    assert not Row.objects.exists()


def test_the_clock_is_the_systems_again_after_the_test() -> None:
    with Tasks() as tasks:
        tasks.travel(timedelta(days=365 * 50))
        far = timezone.now()
    assert timezone.now() < far - timedelta(days=365 * 49)


def test_a_task_that_calls_itself_without_end_is_named(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durable.testing.tasks.MOST", 5)
    calls_itself.delay_on_commit()
    with pytest.raises(RuntimeError, match=r"5 attempts were made, and .*calls_itself still waits"):
        tasks.run()


@pytest.mark.parametrize(("kind", "name"), [("queue", "default"), ("task", say.name)])
def test_what_is_paused_waits(tasks: Tasks, kind: Kind, name: str) -> None:
    say.delay_on_commit("x")
    pause(kind, name, "a person")
    assert tasks.run() == []


class TestInATestCase(TasksMixin, TestCase):
    def test_it_is_the_same(self) -> None:
        charge.delay_on_commit(pk=1)
        self.tasks.run()
        self.tasks.assert_called(charge, 1)
        assert Group.objects.count() == 1
