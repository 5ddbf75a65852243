"""A canary goes through each queue, and its time is that of a task there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from durable.canary import chores
from durable.canary.metrics import seconds
from durable.canary.models import Canary
from durable.journal.models import Entry
from durable.queue.models import Pause, Task, Worker
from durable.queue.tests.delivery import deliver

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def worker(settings: Any) -> Worker:
    settings.DURABLE_DEAD_AFTER = 3600
    return Worker.objects.create(id="w", hostname="h", pid=1, slots=1, queues="default,mail,own")


def waiting() -> list[str]:
    return list(Task.objects.order_by("queue").values_list("queue", flat=True))


def earlier(**by: float) -> None:
    ago = timezone.now() - timedelta(**by)
    Canary.objects.update(called_at=ago, sent_at=ago)


def test_one_is_called_for_each_queue_of_the_settings_that_a_worker_takes_from() -> None:
    chores.once_a_minute()
    assert waiting() == ["default", "mail"]
    chores.once_a_minute()
    assert waiting() == ["default", "mail"], "one at a time"


def test_its_end_is_written_down_and_the_journal_has_none_of_it() -> None:
    chores.once_a_minute()
    deliver(Task.objects.get(queue="mail"))
    assert Canary.objects.get(queue="mail").done_at
    assert Canary.objects.get(queue="default").done_at is None
    assert not Entry.objects.exists()
    chores.once_a_minute()
    assert waiting() == ["default", "mail"]


def test_its_time_grows_until_its_end_and_stays_then() -> None:
    chores.once_a_minute()
    ago = timezone.now() - timedelta(hours=1)
    Canary.objects.update(called_at=ago)
    assert seconds()["mail"] == pytest.approx(3600, abs=60)
    Canary.objects.filter(queue="mail").update(done_at=ago + timedelta(seconds=2))
    assert seconds()["mail"] == 2


def test_one_whose_row_is_lost_is_called_again_and_its_time_goes_on() -> None:
    chores.once_a_minute()
    Task.objects.all().delete()
    earlier(hours=2)
    chores.once_a_minute()
    assert waiting() == ["default", "mail"]
    assert seconds()["mail"] > 7000
    deliver(Task.objects.get(queue="mail"))
    assert Canary.objects.get(queue="mail").done_at


def test_a_queue_that_loses_its_worker_on_the_way_keeps_its_canary(worker: Worker) -> None:
    chores.once_a_minute()
    deliver(Task.objects.get(queue="default"))
    worker.delete()
    chores.once_a_minute()
    assert seconds().keys() == {"mail"}


@pytest.mark.parametrize(
    ("off", "left"), [({"CANARY_ON": False}, []), ({"CANARY_EXCEPT": ["mail"]}, ["default"])]
)
def test_there_is_none_where_a_person_wants_none(
    off: dict[str, Any], left: list[str], settings: Any
) -> None:
    for name, value in off.items():
        setattr(settings, name, value)
    chores.once_a_minute()
    assert waiting() == left


def test_a_paused_queue_has_none() -> None:
    chores.once_a_minute()
    Pause.objects.create(kind="queue", name="mail", who="root")
    chores.once_a_minute()
    assert seconds().keys() == {"default"}
