"""Tasks that have ended are started again: their rows are written anew, each exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models.functions import Now
from kombu.utils.json import dumps, loads

from durable.journal.models import Entry

from .. import conf, store
from . import notify


class Replayed(NamedTuple):
    """The outcome for the entries that were to be started again."""

    started: int
    #: A sentence for each that could not be.
    troubles: list[str]


def replay(ids: Sequence[int], who: str) -> Replayed:
    """Start the tasks of journal entries again, under their ids: all that can be, or none.

    With its id a task keeps its ``idempotency_key`` and those who wait for its result, and its
    chain and callbacks follow as they did. An entry is replayed once; the new end has one of its
    own.

    :param who: who wants it, for the row's headers.
    """
    rows: list[list[Any]] = []
    limited: list[list[Any]] = []
    places: list[list[Any]] = []
    over: list[int] = []
    troubles: list[str] = []
    lanes: set[str] = set()
    with transaction.atomic(using=conf.alias()):
        found = Entry.objects.using(conf.alias()).select_for_update().filter(pk__in=ids)
        for entry in found.order_by("pk"):
            if why := _impediment(entry):
                troubles.append(f"{entry.task}[{entry.task_id}]: {why}")
                continue
            headers = {**loads(entry.headers), "retries": 0, "expires": None, "replayed_by": who}
            call = {**dict.fromkeys(store.CALL), **vars(entry), "headers": dumps(headers)}
            call |= {"expires": None, "due_at": None}
            row = [call[name] for name in store.CALL]
            if place := headers.get(conf.LIMIT):
                limited.append(row)
                places.append(place)
            else:
                rows.append(row)
            lanes.add(notify.lane(entry.queue, notify.LIMITED if place else entry.priority))
            over.append(entry.pk)
        if rows:
            store.insert_many(rows)
        if limited:
            store.insert_many(limited, places)
        if over:
            Entry.objects.using(conf.alias()).filter(pk__in=over).update(replayed_at=Now())
            for lane in lanes:
                notify.after_commit(lane)
    return Replayed(len(over), troubles)


def _impediment(entry: Entry) -> str:
    """Return why an entry can't be replayed."""
    if entry.replayed_at is not None:
        return "it was started again before"
    if entry.redacted:
        return "arguments of it are secret, and were not kept; call it again in code"
    if entry.body is None:
        return "its arguments were too large to be kept; call it again in code"
    return ""
