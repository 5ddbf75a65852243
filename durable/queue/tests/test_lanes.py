"""Where a worker looks: also where nothing waits at this moment."""

from __future__ import annotations

import pytest

from durable.queue.models import Task
from durable.queue.worker.lanes import Lanes
from proj.celery import debug_task

pytestmark = pytest.mark.django_db


def test_a_lane_that_is_empty_is_looked_at_between_two_rescans_all_the_same() -> None:
    """A retry, a countdown that is over, a row that was let go: none of these wakes a worker."""
    queues = ["default", "mail"]
    lanes = Lanes(lambda: queues)
    debug_task.apply_async_on_commit(queue="mail", priority=3)
    lanes.rescan()
    Task.objects.all().delete()
    lanes.rescan()
    found = {(lane.queue, lane.priority) for lane in lanes.now()}
    assert found == {("default", 0), ("mail", 0), ("mail", 3)}
    queues.remove("mail")  # celery control cancel_consumer
    lanes.rescan()
    assert {lane.queue for lane in lanes.now()} == {"default"}
