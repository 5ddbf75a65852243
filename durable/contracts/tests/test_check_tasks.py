"""A version that could not run what was called before is refused, and says what and how many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from inspect import Signature, signature
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import current_app as app
from django.core.management import call_command
from django.core.management.base import CommandError
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.contracts import signatures
from durable.contracts.signatures import narrowed
from durable.queue import overview
from durable.queue.models import Task
from tests import durable_tasks as tasks

pytestmark = pytest.mark.django_db

EFFECT = "tests.durable_tasks.effect"


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("check_tasks", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def refused() -> str:
    with pytest.raises(CommandError) as error:
        said()
    return str(error.value)


@pytest.fixture
def without_effect() -> Iterator[None]:
    """The next version has no task of that name."""
    task = app.tasks.pop(EFFECT)
    yield
    app.tasks[EFFECT] = task


@pytest.fixture
def other_effect() -> Iterator[Any]:
    """The next version's task of that name; what it is called with is set by the test."""
    before = app.tasks[EFFECT]

    def make(run: Any) -> None:
        app.tasks.pop(EFFECT, None)
        run.__name__ = "effect"
        app.task(run, name=EFFECT)
        app.tasks[EFFECT]

    yield make
    app.tasks[EFFECT] = before


def test_what_this_code_wrote_itself_can_be_called() -> None:
    tasks.effect.delay_on_commit("a")
    for odd in ("b\0", "\ud800", "\udc00", float("nan"), [1, float("-inf")]):
        tasks.effect.delay_on_commit(label=odd)  # what jsonb can't hold
    for fine in ("\U0001f600", "NaN", r"C:\users"):
        tasks.effect.delay_on_commit(label=fine)
    counts = {count: rows for _, count, _, rows in overview.shapes()}
    assert counts == {0: 3, 1: 1, None: 5}
    assert "all that waits can be called" in said()


def test_a_task_that_is_gone_is_named_with_its_rows(without_effect: None) -> None:
    Task.objects.bulk_create(
        Task(task_id=str(n), task=EFFECT, queue="default", headers="{}", body='[["a"], {}, {}]')
        for n in range(3)
    )
    assert f"{EFFECT}: 3 rows wait for it: there is no such task" in refused()


def test_forced_it_says_so_and_goes_on(
    without_effect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Task.objects.create(task_id="1", task=EFFECT, queue="q", headers="{}", body="[[], {}, {}]")
    assert "1 row waits for it" in said("--force")
    monkeypatch.setenv("FORCE", "1")
    assert "1 row waits for it" in said()


def test_arguments_that_the_new_signature_refuses_are_named(other_effect: Any) -> None:
    tasks.effect.delay_on_commit("a")
    tasks.effect.delay_on_commit(label="b")
    other_effect(lambda label, account: None)
    assert refused().count("1 row waits for it: missing a required argument: 'account'") == 2
    other_effect(lambda name: None)
    text = refused()
    assert "1 row waits for it: missing a required argument: 'name'" in text
    assert text.count(EFFECT) == 1, "by place it can be called"
    other_effect(lambda label, account=None: None)
    assert "all that waits" in said()


def test_the_next_task_of_a_chain_waits_with_its_row(without_effect: None) -> None:
    following = app.signature(EFFECT, args=["a"], immutable=True)
    tasks.add.apply_async_on_commit([1, 1], link=tasks.add.s(2) | following)
    assert f"{EFFECT}: 1 row waits for it as the next task: there is no such task" in refused()


def test_a_periodic_task_of_the_admin_is_checked(without_effect: None) -> None:
    every = IntervalSchedule.objects.create(every=1, period="hours")
    row = PeriodicTask.objects.create(
        name="hourly", task=EFFECT, interval=every, args=json.dumps(["a"])
    )
    assert f"{EFFECT}: periodic task 'hourly': there is no such task" in refused()
    PeriodicTask.objects.filter(pk=row.pk).update(enabled=False)
    assert "all that waits" in said()


def test_a_task_of_the_last_release_must_take_what_it_took(
    settings: Any, tmp_path: Path, other_effect: Any
) -> None:
    settings.RELEASED_TASKS = path = tmp_path / "released.txt"
    path.write_text(f"{EFFECT}(label, twice=...)\nshop.tasks.charge(pk)\n")
    other_effect(lambda label: None)
    text = refused()
    assert "shop.tasks.charge: the list of the last release (released.txt): there is no" in text
    assert f"{EFFECT}: the list of the last release (released.txt): too many positional" in text
    path.write_text("nonsense\n")
    assert "line 1: 'nonsense' is no task with its arguments" in refused()


def test_the_list_that_is_written_is_read_alike(settings: Any, tmp_path: Path) -> None:
    settings.RELEASED_TASKS = path = tmp_path / "released.txt"
    assert "tasks" in said("--write")
    assert signatures.read(path) == signatures.own()
    assert "durable.housekeeping.tasks." in path.read_text()
    assert "celery." not in path.read_text().replace("proj.celery.", "")


def of(function: Any) -> Signature:
    return signature(function)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (lambda a: 0, lambda a, b=1: 0, ""),
        (lambda a, b=1: 0, lambda *args, **kwargs: 0, ""),
        (lambda a: 0, lambda a, *, c=1: 0, ""),
        (lambda a: 0, lambda a, b: 0, "missing a required argument: 'b'"),
        (lambda a, b=1: 0, lambda a: 0, "too many positional"),
        (lambda a, *, b=1: 0, lambda a: 0, "unexpected keyword argument 'b'"),
        (lambda a, b: 0, lambda b, a: 0, "another order: 'a' is where 'b' was"),
        (lambda *args: 0, lambda a=1: 0, "too many positional"),
        (lambda **kwargs: 0, lambda a=1: 0, "unexpected keyword argument"),
        (lambda a=1: 0, lambda b=1: 0, "unexpected keyword argument 'a'"),
    ],
)
def test_a_signature_is_narrower_if_some_call_no_longer_fits(old: Any, new: Any, why: str) -> None:
    assert why in narrowed(of(old), of(new))
    assert bool(why) == bool(narrowed(of(old), of(new)))
