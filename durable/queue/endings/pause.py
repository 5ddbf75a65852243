"""Pausing a queue: no worker takes rows from it, those that come later neither."""

from __future__ import annotations

from django.db import transaction

from .. import conf, store
from ..models import Pause


def pause(queue: str, who: str) -> bool:
    """Let no worker take rows from *queue*; return whether one could before.

    What a worker has in hand by then goes on. Calls write rows as before.
    """
    found = Pause.objects.using(conf.alias()).get_or_create(queue=queue, defaults={"who": who})
    return found[1]


def resume(queue: str) -> bool:
    """Let workers take rows from *queue* again; return whether it was paused."""
    with transaction.atomic(using=conf.alias()):
        gone, _ = Pause.objects.using(conf.alias()).filter(queue=queue).delete()
        found = store.lanes([queue])
        transaction.on_commit(
            lambda: store.notify([f"{lane.priority} {lane.queue}" for lane in found]),
            using=conf.alias(), robust=True,
        )  # fmt: skip
    return bool(gone)
