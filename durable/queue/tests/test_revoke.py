"""``revoke()`` of a task that waits: its row ends at once, for workers that come later too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded
from celery import states
from celery.worker.request import revoked_tasks
from django.db import transaction

from durable.journal.models import Entry
from durable.queue.endings.actions import discard, replay
from durable.queue.endings.janitor import revoke_expired
from durable.queue.models import Task
from durable.queue.tests.delivery import begin, deliver, message
from durable.queue.worker.request import Request
from proj.celery import app
from tests.durable_tasks import effect, effects, gate, retries

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("effect_table")]


def test_a_task_that_waits_is_revoked_by_its_row() -> None:
    waits = effect.apply_async_on_commit(["a"], countdown=600)
    other = effect.delay_on_commit("b")
    waits.revoke()
    assert waits.state == states.REVOKED
    assert list(Task.objects.values_list("task_id", flat=True)) == [other.id]
    app.control.revoke([other.id, waits.id])
    assert other.state == states.REVOKED
    assert not Task.objects.exists()


def test_one_that_runs_is_left_to_its_worker() -> None:
    called = retries.delay_on_commit("r", 2, 600)
    row = Task.objects.get()
    Task.objects.update(worker="me", started_at=row.created_at)
    called.revoke()
    assert Task.objects.exists()
    assert called.state == states.PENDING
    Task.objects.update(worker=None, started_at=None)
    deliver()  # its retry waits, and is revoked as well
    called.revoke()
    assert called.state == states.REVOKED


@pytest.mark.parametrize(
    "end",
    [
        lambda row: app.control.revoke(row.task_id),
        lambda row: discard([row.pk], "me"),
        lambda row: Task.objects.update(expires=row.created_at) and revoke_expired(),
    ],
    ids=["revoked", "discarded", "expired"],
)
def test_celerys_signal_says_so_without_a_worker_too(end: Callable[[Task], object]) -> None:
    gate.delay_on_commit("a", "/nowhere")
    with transaction.atomic():
        end(Task.objects.get())
        assert effects() == {}
    assert effects() == {"a was revoked": 1}


@pytest.mark.parametrize("by", ["time limit", "revoke"])
@pytest.mark.parametrize("whose", ["its own", "a later attempt's"])
def test_an_end_that_was_committed_is_not_stored_over(whose: str, by: str) -> None:
    """A process is killed that has just committed; or by a worker that stood still meanwhile."""
    called = effect.delay_on_commit("a")
    held = message()
    held._hand.left = lambda message: None  # type: ignore[method-assign]
    request = Request(held, app=app, task=effect, eventer=None)
    Task.objects.update(worker=None)
    if whose != "its own":
        begin(Task.objects.get())
        Task.objects.update(worker=None, started_at=None)
    deliver()
    if by == "revoke":
        request._announce_revoked("terminated", True, 15, False)
    else:
        try:
            raise TimeLimitExceeded(3)
        except TimeLimitExceeded:
            request.on_failure(ExceptionInfo())
        request.on_timeout(False, 3)
    assert called.state == states.SUCCESS
    assert effects() == {"a": 1}


def test_what_is_started_again_is_not_revoked_by_what_a_worker_remembers() -> None:
    """``revoke(terminate=True)`` tells the workers, which keep the id for hours."""
    called = effect.delay_on_commit("a")
    called.revoke()
    revoked_tasks.add(called.id)
    assert replay([Entry.objects.get().pk], "me").started == 1
    assert not Request(message(), app=app, task=effect, eventer=None).revoked()
    assert called.id not in revoked_tasks


@pytest.mark.parametrize("by", ["time limit", "revoke"])
def test_a_worker_that_stood_still_ends_no_attempt_of_another(by: str) -> None:
    """Its process had not begun, so the number of the other's attempt is the one it waits for."""
    called = effect.delay_on_commit("a")
    held = message()
    held._hand.left = lambda message: None  # type: ignore[method-assign]
    request = Request(held, app=app, task=effect, eventer=None)
    begin(Task.objects.get(), "another worker")
    if by == "revoke":
        request._announce_revoked("terminated", True, 15, False)
    else:
        request.on_timeout(False, 3)
    assert Task.objects.get().worker == "another worker"
    assert called.state == states.PENDING
