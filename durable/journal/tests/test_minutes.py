"""What ended in each minute is counted once, however often and by however many."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from durable.journal import minutes
from durable.journal.models import Entry, Minute
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


def test_a_quantile_lies_within_its_bucket() -> None:
    counts = [0] * (len(minutes.BOUNDS) + 1)
    assert minutes.quantile(counts, 0.5) is None
    counts[0] = 90
    counts[6] = 10
    assert minutes.quantile(counts, 0.5) == pytest.approx(0.01 * 50 / 90)
    assert minutes.quantile(counts, 0.95) == pytest.approx(0.75)
    assert minutes.quantile([0] * len(minutes.BOUNDS) + [1], 0.5) == minutes.BOUNDS[-1]
