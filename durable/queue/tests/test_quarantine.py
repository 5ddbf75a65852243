"""What can't go on now is tried again later each time, and not without end: then a person decides.

The database that goes away, a task that puts itself back, a worker that doesn't know the task.
"""

from __future__ import annotations

from typing import Any

import pytest
from celery import shared_task, states
from celery.exceptions import Reject
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from durable.queue import store
from durable.queue.endings import quarantine
from durable.queue.endings.quarantine import LONGEST_PAUSE, OUTAGE, REJECTED, UNREADABLE, Cause
from durable.queue.models import Task
from durable.queue.tasks import call_on_failure
from durable.queue.worker.attempt import Attempt
from durable.queue.worker.ticket import Ticket
from tests import durable_tasks as tasks

from .delivery import WORKER, begin, deliver, hold, make_due, message, pause

pytestmark = pytest.mark.usefixtures("effect_table")

WHY = "why it\n"
each_cause = pytest.mark.parametrize("cause", [OUTAGE, REJECTED, UNREADABLE], ids=lambda c: c.label)


def postpone(cause: Cause, times: int) -> Task:
    """Let this be the end of so many attempts, or of so many holds; return the row."""
    for _ in range(times):
        row = Task.objects.get(task=tasks.poison.name)
        attempt = store.hold_one(row.pk, WORKER) if cause is UNREADABLE else begin(row)
        assert quarantine.postpone_or_quarantine(row.pk, attempt, cause, WHY, WORKER)
    return Task.objects.get(task=tasks.poison.name)


@each_cause
class TestAnAttemptThatCannotGoOn:
    def test_is_followed_by_a_longer_pause_each_time(self, cause: Cause) -> None:
        tasks.poison.delay_on_commit("a")
        rows = [postpone(cause, 1) for _ in range(cause.limit - 1)]
        for row, seconds in zip([*rows[:4], rows[-1]], [1, 2, 4, 8, LONGEST_PAUSE], strict=True):
            assert seconds <= pause(row) <= 1.5 * seconds + 1
        counts = 0 if cause is UNREADABLE else len(rows)
        assert (rows[-1].attempt, rows[-1].clean_attempt) == (counts, counts), "none has crashed"
        assert rows[-1].error == f"{cause.label}: why it"

    def test_is_in_quarantine_at_last_and_has_failed_then(self, cause: Cause) -> None:
        result = tasks.poison.delay_on_commit("a")
        assert postpone(cause, cause.limit - 1).quarantined_at is None
        assert result.state == states.PENDING
        row = postpone(cause, 1)
        assert row.quarantined_at is not None
        assert result.state == states.FAILURE
        for text in (row.error, str(result.result)):
            assert f"{cause.label}: why it. It was tried {cause.limit} times." in text
            assert cause.advice.format(queue="default") in text
        assert Task.objects.get(task=call_on_failure.name).queue == "default"

    def test_has_all_its_tries_again_after_a_person_has_started_it(self, cause: Cause) -> None:
        tasks.poison.delay_on_commit("a")
        row = postpone(cause, cause.limit)
        assert quarantine.requeue([row.pk], "root") == 1
        assert postpone(cause, cause.limit - 1).quarantined_at is None
        row = postpone(cause, 1)
        assert row.quarantined_at is not None
        assert len(row.history) == 2 * cause.limit + 1, "nothing of its history is lost"

    def test_is_left_alone_if_the_row_has_moved_on(self, cause: Cause) -> None:
        tasks.poison.delay_on_commit("a")
        row = Task.objects.get()
        report = quarantine.postpone_or_quarantine
        assert not report(row.pk, 0, cause, WHY), "it is nowhere"
        store.hold_one(row.pk, "another")
        if cause is not UNREADABLE:
            begin(row, "another")
        row.refresh_from_db()
        assert not report(row.pk, row.attempt, cause, WHY, WORKER)
        assert not report(row.pk, row.attempt + 1, cause, WHY)
        row.refresh_from_db()
        assert (row.worker, row.history) == ("another", [])


def test_only_the_database_counts_although_it_ends_otherwise_in_between() -> None:
    tasks.poison.delay_on_commit("a")
    for cause, expected in ((REJECTED, 1), (OUTAGE, 1), (REJECTED, 1), (REJECTED, 2), (OUTAGE, 2)):
        row = postpone(cause, 1)
        assert quarantine.count(row.history, cause) == expected


def test_a_task_whose_database_goes_away_is_tried_again_as_no_crash(settings: Any) -> None:
    settings.DURABLE_MAX_ATTEMPTS = 2
    tasks.breaks_database.delay_on_commit("a", 3)
    for number in (1, 2, 3):
        deliver()
        row = Task.objects.get()
        assert (row.worker, row.attempt, row.clean_attempt) == (None, number, number)
        assert row.quarantined_at is None
        assert row.error.startswith("the database went away: terminating connection")
    assert [line["what"] for line in row.history] == [row.error] * 3
    deliver()
    assert not Task.objects.exists()
    assert tasks.effects() == {"a": 1}


@pytest.mark.parametrize("left", ["ready", "limited", "held", "begun by another"])
@pytest.mark.usefixtures("long_pauses")
def test_an_outage_counts_although_the_server_has_lost_that_the_attempt_began(left: str) -> None:
    key = "k" if left == "limited" else None
    tasks.effect.apply_async_on_commit(["a"], concurrency_key=key)
    row = Task.objects.get()
    if left in ("held", "begun by another"):
        store.hold_one(row.pk, WORKER if left == "held" else "another")
    if left == "begun by another":
        begin(row, "another")
    quarantine.postpone_after_outage(row.pk, 1, WORKER, OperationalError("gone"))
    row.refresh_from_db()
    if left == "begun by another":
        assert (row.worker, row.attempt, row.history) == ("another", 1, [])
    else:
        assert (row.worker, row.attempt, row.error) == (None, 0, "the database went away: gone")
        assert row.wanted_at > timezone.now()


def test_a_begin_lets_no_commit_of_others_go_without_the_disk() -> None:
    def of_session() -> str:
        return str(store.run("SELECT current_setting('synchronous_commit')")[0][0])

    tasks.effect.delay_on_commit("a")
    tasks.effect.delay_on_commit("b")
    held, other = hold(2)
    assert store.begin(held.id, 0, WORKER, atomic=True) == 1
    assert of_session() == "on"
    with transaction.atomic():
        assert store.begin(other.id, 0, WORKER, atomic=True) == 1
        assert of_session() == "on"


@shared_task(bind=True, atomic=False)
def tries_again_on_a_replica(self: Any) -> None:
    """Be retried by a server that only reads meanwhile."""
    if self.request.retries or Task.objects.filter(attempt__gt=1).exists():
        tasks.write("done")
        return
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    raise self.retry(countdown=0)


def test_a_database_that_only_reads_is_away_too() -> None:
    result = tries_again_on_a_replica.delay_on_commit()
    row = Task.objects.get()
    store.hold_one(row.pk, WORKER)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    deliver(row, is_held=True)  # it begins, on a new connection, and can't end
    assert Task.objects.get().error.startswith("the database went away: cannot execute")
    assert result.state == states.STARTED
    deliver()
    assert not Task.objects.exists()
    assert tasks.effects() == {"done": 1}


@pytest.mark.parametrize(
    "away",
    [
        "SELECT pg_terminate_backend(pg_backend_pid())",  # as a server that is still starting
        "SET default_transaction_read_only = on",  # as a pooler that leads to a replica by now
    ],
)
def test_it_waits_for_the_database_that_is_away(monkeypatch: pytest.MonkeyPatch, away: str) -> None:
    tasks.effect.delay_on_commit("a")
    row = Task.objects.get()
    attempt = Attempt(tasks.effect, Ticket(row.pk, 0, WORKER))
    attempt.number = begin(row)
    tries = []

    def report(*args: Any) -> bool:
        tries.append(args)
        if len(tries) == 1:
            with connection.cursor() as cursor:
                cursor.execute(away)
        return original(*args)

    original = quarantine.postpone_or_quarantine
    monkeypatch.setattr(quarantine, "postpone_or_quarantine", report)
    attempt.lost_database(OSError("gone"))
    assert len(tries) == 2
    assert Task.objects.get().clean_attempt == 1


class UnprintableError(Exception):
    """Its representation can't be had."""

    def __repr__(self) -> str:
        raise LookupError("no words")


@shared_task(bind=True)
def puts_itself_back(self: Any, how: str) -> None:
    """Write an effect, and ask for another attempt."""
    tasks.write("rolled back")
    if how == "retry":
        raise self.retry(exc=UnprintableError(), countdown=0)
    raise Reject(UnprintableError() if how == "unprintable" else "the license is in use", True)


UNPRINTABLE = "<UnprintableError, whose repr() raises LookupError>"


@pytest.mark.parametrize(
    ("how", "error", "redelivered"),
    [
        ("reject", "rejected: 'the license is in use'", True),
        ("unprintable", f"rejected: {UNPRINTABLE}", True),
        ("retry", f"retry: {UNPRINTABLE}", False),  # it was asked for
    ],
)
@pytest.mark.usefixtures("long_pauses")
def test_the_next_attempt_of_what_was_put_back_says_whether_it_is_a_redelivery(
    how: str, error: str, redelivered: bool
) -> None:
    puts_itself_back.delay_on_commit(how)
    deliver()
    row = Task.objects.get()
    assert (row.error, row.attempt, row.clean_attempt) == (error, 1, 1)
    assert tasks.effects() == {}
    assert (hold() == []) is (how != "retry"), "not before its pause"
    store.release("TRUE", {})
    make_due()
    assert message().delivery_info["redelivered"] is redelivered


def test_the_first_delivery_to_a_batch_is_no_redelivery_and_the_second_is_one() -> None:
    tasks.effect.delay_on_commit("a")
    for redelivered in (False, True):
        [row] = store.take(WORKER, store.lanes(["default"]), 1)
        assert row.redelivered is redelivered
        store.release("TRUE", {})


def test_a_row_that_was_held_in_vain_is_no_redelivery() -> None:
    tasks.effect.delay_on_commit("a")
    assert message().delivery_info["redelivered"] is False
    store.release("TRUE", {})
    assert message().delivery_info["redelivered"] is False


class TestARelease:
    where, me = "worker = %(me)s", {"me": WORKER}

    @pytest.fixture(autouse=True)
    def row(self, effect_table: None) -> Task:
        tasks.effect.delay_on_commit("a")
        return Task.objects.get()

    def test_counts_crashes_in_a_row_only(self, settings: Any, row: Task) -> None:
        settings.DURABLE_MAX_ATTEMPTS = 2
        for number, clean, quarantined in ((1, False, False), (2, True, False), (3, False, False),
                                           (4, False, True)):  # fmt: skip
            assert begin(row) == number
            [released] = store.release(self.where, self.me, "why", clean=clean)
            assert (released.quarantined, released.was_running) == (quarantined, True)

    def test_after_the_limit_was_lowered_lets_it_start_once_more(
        self, settings: Any, row: Task
    ) -> None:
        """It must not wait for ever: too often begun to begin, and not in quarantine."""
        for _ in range(3):
            begin(row)
            store.release(self.where, self.me, "why")
        settings.DURABLE_MAX_ATTEMPTS = 2
        assert begin(row) == 4
        assert store.release(self.where, self.me, "why")[0].quarantined

    def test_of_what_was_held_counts_nothing_and_keeps_its_place(self, row: Task) -> None:
        for _ in range(9):
            assert [held.id for held in hold()] == [row.pk]
            [released] = store.release(self.where, self.me, "why")
            assert (released.quarantined, released.was_running) == (False, False)
        found = Task.objects.get()
        assert (found.attempt, found.history, found.due_at) == (0, [], row.due_at)
