"""Pausing a queue or a task: no worker takes rows of it, those that come later neither."""

from __future__ import annotations

from typing import Literal

from django.db import transaction

from .. import conf, overview, store
from ..caller import notify
from ..models import Pause

Kind = Literal["queue", "task"]


def pause(kind: Kind, name: str, who: str) -> bool:
    """Let no worker take rows of a queue or of a task; return whether one could before.

    What a worker has in hand by then goes on. Calls write rows as before.
    """
    found = Pause.objects.using(conf.alias()).get_or_create(
        kind=kind, name=name, defaults={"who": who}
    )
    return found[1]


def resume(kind: Kind, name: str) -> bool:
    """Let workers take rows of it again; return whether it was paused."""
    with transaction.atomic(using=conf.alias()):
        gone, _ = Pause.objects.using(conf.alias()).filter(kind=kind, name=name).delete()
        queues = [name] if kind == "queue" else [one.name for one in overview.queues()]
        found = store.lanes(queues)
        transaction.on_commit(
            lambda: store.notify([notify.lane(*lane[:2]) for lane in found]),
            using=conf.alias(), robust=True,
        )  # fmt: skip
    return bool(gone)
