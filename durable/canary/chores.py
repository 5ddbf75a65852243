"""The calls, by the leading beat; durable/schedules finds this by its name."""

from __future__ import annotations

from datetime import timedelta

from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone

from durable.queue import metrics, overview

from . import conf
from .models import Canary
from .tasks import sing

#: How long one may be on its way until another one is sent: a person may have discarded its row.
AGAIN = timedelta(hours=1)


def once_a_minute() -> None:
    """Call one for each queue that a worker takes from, unless the last one is on its way.

    So a queue has one row of it, and a pool that was scaled to none is not woken.
    """
    queues, paused = wanted(), overview.paused().keys()
    # One that is on its way stays: that no worker is left is what it is to show.
    ended = Canary.objects.exclude(queue__in=queues)
    (ended if not conf.get("ON") else ended.filter(Q(queue__in=paused) | ~Q(done_at=None))).delete()
    for queue in sorted(queues):
        _call(queue)


def wanted() -> set[str]:
    """Return the queues of the settings that a living worker takes from, and that aren't paused."""
    if not conf.get("ON"):
        return set()
    taken = overview.by_queue(overview.takers())
    return (metrics.queues() & taken.keys()) - overview.paused().keys() - set(conf.get("EXCEPT"))


def _call(queue: str) -> None:
    now = timezone.now()
    with transaction.atomic(using=router.db_for_write(Canary)):
        last = Canary.objects.select_for_update().filter(queue=queue).first()
        lost = last is not None and last.done_at is None
        if last and lost and now - last.sent_at < AGAIN:
            return
        called_at = last.called_at if last and lost else now
        Canary.objects.update_or_create(
            queue=queue, defaults={"called_at": called_at, "sent_at": now, "done_at": None}
        )
        sing.apply_async_on_commit((queue, called_at.isoformat()), queue=queue)
