"""Failures that are of one kind: the same task, exception and place."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Max, Min

from durable.journal.models import Entry
from durable.queue import conf as queue

#: The newest failures that are grouped; those that were started again are no longer any.
MOST = 10_000


class Group(NamedTuple):
    """Failures of one kind."""

    task: str
    error: str
    place: str
    times: int
    first: datetime
    last: datetime
    version: str
    id: int
    says: str

    @property
    def q(self) -> str:
        """The filter that finds them."""
        words = [f"task:={self.task}", "state:failed"]
        if self.place:
            words.append(f'place:"{self.place}"')
        if self.error:
            words.append(f"error:{self.error}")
        return " ".join(words)


def failures() -> list[Group]:
    """Return the groups, the newest first."""
    failed = Entry.objects.using(queue.alias()).filter(
        state__in=("FAILURE", "REJECTED"), replayed_at=None
    )
    newest = failed.order_by("-ended_at").values("pk")[:MOST]
    found = (
        Entry.objects.using(queue.alias())
        .filter(state__in=("FAILURE", "REJECTED"), pk__in=newest)
        .values_list("task", "error", "place")
        .annotate(
            times=Count("pk"), first=Min("ended_at"), last=Max("ended_at"),
            version=Min("version"), newest=Max("pk"), says=Max("result"),
        )
        .order_by("-last")[:200]
    )  # fmt: skip
    return [
        Group(task, error or "", place or "", times, first, last, version, pk, says or "")
        for task, error, place, times, first, last, version, pk, says in found
    ]
