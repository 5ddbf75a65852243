"""What ended in each minute is counted once, however often and by however many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from durable.journal import minutes, totals
from durable.journal.metrics import metrics
from durable.journal.models import Entry, Minute, Release, Total
from durable.queue import store
from durable.queue.models import Task
from durable.queue.tests.delivery import begin, deliver
from tests.durable_tasks import add, fails

pytestmark = pytest.mark.usefixtures("effect_table")


def test_ends_waits_runs_retries_and_deaths_are_counted_by_task_and_queue() -> None:
    Entry.objects.all().delete()
    for _ in range(3):
        add.delay_on_commit(1, 2)
    row = Task.objects.order_by("id")[0]
    begin(row, "gone")
    store.release("worker = 'gone'", {}, "the process that ran it died")
    fails.delay_on_commit("a")
    for row in Task.objects.order_by("id"):
        deliver(row)
    Entry.objects.update(ended_at=Now() - timedelta(minutes=1), due_at=Now() - timedelta(minutes=2))
    for _ in range(2):
        assert minutes.fold()
    added = Minute.objects.get(task=add.name)
    assert (added.done, added.failed, added.died, added.queue) == (3, 0, 1, "default")
    assert (sum(added.waits), sum(added.runs)) == (3, 3)
    assert sum(added.waits[12:]) == 3, "more than a minute"
    assert Minute.objects.get(task=fails.name).failed == 1


def test_a_clock_that_was_ahead_keeps_no_minute_from_being_counted() -> None:
    Entry.objects.all().delete()
    minute(-60, "of a clock that was an hour ahead")
    add.delay_on_commit(1, 2)
    deliver()
    Entry.objects.update(ended_at=Now() - timedelta(minutes=1))
    assert minutes.fold()
    assert Minute.objects.get(task=add.name).done == 1


def test_a_quantile_lies_within_its_bucket() -> None:
    counts = [0] * (len(minutes.BOUNDS) + 1)
    assert minutes.quantile(counts, 0.5) is None
    counts[0] = 90
    counts[6] = 10
    assert minutes.quantile(counts, 0.5) == pytest.approx(0.01 * 50 / 90)
    assert minutes.quantile(counts, 0.95) == pytest.approx(0.75)
    assert minutes.quantile([0] * len(minutes.BOUNDS) + [1], 0.5) == minutes.BOUNDS[-1]


def minute(ago: int, task: str, **columns: int) -> Minute:
    counts = [columns.get("done", 0)] + [0] * len(minutes.BOUNDS)
    sums = dict.fromkeys(("done", "failed", "revoked", "retried", "died"), 0) | columns
    return Minute.objects.create(
        minute=timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=ago),
        task=task, queue="default", waited=1, ran=2, waits=counts, runs=counts, **sums,
    )  # fmt: skip


def counted() -> dict[str, dict[tuple[str, ...], Any]]:
    return {name: values for name, _, _, values in metrics()}


def test_counters_do_not_fall_when_minutes_are_added_up_and_dropped() -> None:
    for model in (Entry, Minute, Total):
        model.objects.all().delete()
    for ago in (30, 20, 1):
        minute(ago, "a", done=2, failed=1)
    before = counted()
    assert before["proj_tasks_done_total"] == {("a", "default"): 6}
    buckets, total = before["proj_task_wait_seconds"]["a", "default"]
    assert (buckets[0], buckets[-1], total) == (("0.01", 6), ("+Inf", 6), 3)
    assert minutes.fold()
    assert Minute.objects.filter(settled=True).count() == 2
    assert counted() == before
    Minute.objects.filter(settled=True).delete()
    assert counted() == before


def test_however_many_names_are_called_few_have_counters_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for model in (Entry, Minute, Total):
        model.objects.all().delete()
    monkeypatch.setattr(totals, "LABELS", 2)
    for task in "abcd":
        minute(30, task, done=1)
    minute(1, "a", done=1)
    expected = {("a", "default"): 2, ("b", "default"): 1, (totals.OTHER, totals.OTHER): 2}
    assert counted()["proj_tasks_done_total"] == expected
    assert minutes.fold()
    assert counted()["proj_tasks_done_total"] == expected


def test_a_version_is_deployed_with_its_first_task_and_again_by_a_roll_back() -> None:
    for model in (Entry, Minute, Total, Release):
        model.objects.all().delete()
    now = timezone.now()
    # Both run side by side in a roll-out, and nothing ended in between two of them.
    ends = {200: "1", 190: "1", 189: "2", 188: "1", 90: "2", 30: "1"}
    for ago, version in sorted(ends.items(), reverse=True):
        add.delay_on_commit(1, 2)
        deliver()
        ended_at = now - timedelta(minutes=ago)
        Entry.objects.filter(pk=Entry.objects.latest("id").pk).update(
            version=version, ended_at=ended_at
        )
        assert minutes.fold()
    assert [one.version for one in Release.objects.order_by("since")] == ["1", "2", "1"]
    assert minutes.releases(now - timedelta(hours=1), now) == [30]
