"""A person's deeds, each in one transaction with the line that says so."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from durable.queue import conf as queue
from durable.queue import overview
from durable.queue.caller.replay import replay
from durable.queue.endings import cancel as cancelling
from durable.queue.endings import pause as pausing
from durable.queue.endings import quarantine
from durable.queue.endings.discard import discard

from . import conf, filters, listing
from .models import Deed

#: What can be done to tasks, and the states in which it can.
STATES = {
    "retry": ("quarantined", "failed", "done", "revoked", "discarded"),
    "discard": ("scheduled", "limited", "ready", "held", "quarantined"),
    "cancel": ("running",),
}
#: What a button says, and what then has happened.
WORDS = {"retry": "Start again", "discard": "Discard", "cancel": "Cancel"}


def of_one(what: str, who: str, task: str, row_id: int) -> Deed:
    """Do *what* to the task with this row's id."""
    with transaction.atomic(using=queue.alias()):
        done, notes = _do(what, who, [row_id], [row_id])
        return Deed.objects.using(queue.alias()).create(
            who=who, what=what, target=task, found=1, done=done, skipped=1 - min(done, 1),
            finished_at=timezone.now(), note="\n".join(notes),
        )  # fmt: skip


def note(what: str, who: str, target: str) -> Deed:
    """Write down a deed on something that is no task; call it in the deed's transaction."""
    return Deed.objects.using(queue.alias()).create(
        who=who, what=what, target=target, found=1, done=1, finished_at=timezone.now()
    )


def pause(what: str, who: str, kind: pausing.Kind, name: str) -> bool:
    """Pause or resume a queue or a task; return whether that changed anything.

    :raises FilterError: a task of this name is not known.
    """
    with transaction.atomic(using=queue.alias()):
        if what == "resume":
            changed = pausing.resume(kind, name)
        else:
            if kind == "task":
                _known(name)
            changed = pausing.pause(kind, name, who)
        if changed:
            note(what, who, name)
    return changed


def _known(name: str) -> None:
    current_app.loader.import_default_modules()
    if name not in current_app.tasks:
        near = difflib.get_close_matches(name, list(current_app.tasks), 1)
        raise filters.FilterError(
            f"no task is named {name}"
            + (f"; {near[0]} is" if near else "; the page Names has some")
        )


def of_many(what: str, who: str, text: str, found: int) -> Deed:
    """Have *what* done to all that the filter *text* finds now, by a durable task.

    :raises FilterError: the filter can't be understood.
    """
    from .tasks import work_off

    asked = filters.parse(text)
    if asked.rows is None and asked.entries is None:
        raise filters.FilterError(f"{text} finds nothing")
    with transaction.atomic(using=queue.alias()):
        deed = Deed.objects.using(queue.alias()).create(
            who=who, what=what, target=text, found=found
        )
        work_off.delay_on_commit(deed.pk)
    return deed


def count(what: str, asked: filters.Filter) -> tuple[int, bool]:
    """Return to how many *what* would be done, and whether there may be more."""
    rows = asked.rows & able(what) if asked.rows is not None else None
    ended = asked.entries & Q(replayed_at=None) if asked.entries is not None else None
    asked = asked._replace(rows=rows, entries=ended if what == "retry" else None)
    return listing.count(asked, overview.CAP)


def step(deed_id: int) -> bool:
    """Do the next ``CHUNK`` of a deed on many, in one transaction; return whether there are more.

    However often a worker dies: the cursor moves with what was done.
    """
    with transaction.atomic(using=queue.alias()):
        deed = Deed.objects.using(queue.alias()).select_for_update().get(pk=deed_id)
        if deed.finished_at or deed.cancelled_at:
            return False
        # What was called or has ended after it was confirmed is not meant.
        asked = filters.parse(deed.target, deed.at)
        rows = asked.rows & Q(created_at__lte=deed.at) if asked.rows is not None else None
        ended = asked.entries & Q(ended_at__lte=deed.at) if asked.entries is not None else None
        waiting = rows is not None and _ids(listing.rows(rows & able(deed.what)), deed.cursor)
        past = (
            ended is not None and deed.what == "retry"
            and _ids(listing.entries(ended & Q(replayed_at=None)), deed.cursor)
        )  # fmt: skip
        chosen = sorted({*(waiting or ()), *(past or ())})[: conf.CHUNK]
        if not chosen:
            deed.finished_at = timezone.now()
            deed.save()
            return False
        done, notes = _do(deed.what, deed.who, waiting or [], past or [], set(chosen))
        deed.cursor, deed.done = chosen[-1], deed.done + done
        deed.skipped += len(chosen) - done
        deed.note = "\n".join([*filter(None, deed.note.split("\n")), *notes][:20])
        deed.save()
    return True


def cancel(deed_id: int) -> bool:
    """Stop a deed on many where it is; return whether it was still under way."""
    deeds = Deed.objects.using(queue.alias()).filter(pk=deed_id, finished_at=None)
    return bool(deeds.filter(cancelled_at=None).update(cancelled_at=timezone.now()))


def _ids(every: object, cursor: int) -> list[int]:
    return listing.ids_after(cursor, every, conf.CHUNK)  # type: ignore[arg-type]


def able(what: str) -> Q:
    """Return which rows a deed on many is about; the others have another answer."""
    if what == "retry":
        return Q(quarantined_at__isnull=False)
    return Q(started_at__isnull=what == "discard")


def _do(
    what: str,
    who: str,
    row_ids: Sequence[int],
    entry_ids: Sequence[int],
    only: set[int] | None = None,
) -> tuple[int, list[str]]:
    rows = [one for one in row_ids if only is None or one in only]
    if what == "discard":
        done = discard(rows, who)
        return done.ended, done.troubles[:5]
    if what == "cancel":
        return sum(cancelling.cancel(one, who) for one in rows), []
    again = quarantine.requeue(rows, who) if rows else 0
    ended = replay([one for one in entry_ids if only is None or one in only], who)
    return again + ended.started, ended.troubles[:5]
