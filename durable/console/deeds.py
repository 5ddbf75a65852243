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
from durable.queue.endings import actions, quarantine

from . import conf, filters, listing
from .models import Deed

#: What can be done to tasks, and the states in which it can.
STATES = {
    "retry": ("quarantined", "failed", "done", "revoked", "discarded"),
    "discard": ("scheduled", "limited", "ready", "held", "quarantined", "failed"),
    "cancel": ("running",),
}
#: What a button says, and what then has happened.
WORDS = {"retry": "Start again", "discard": "Discard", "cancel": "Cancel"}


def of_one(what: str, who: str, task: str, row_id: int, ended: bool = True) -> Deed:
    """Do *what* to the task with this row's id.

    :param ended: the person knows that it may have ended: a failure that came meanwhile is not
        discarded with the task that waited.
    """
    with transaction.atomic(using=queue.alias()):
        done, notes = _do(what, who, [row_id], [row_id] if ended or what == "retry" else [])
        return Deed.objects.using(queue.alias()).create(
            who=who, what=what, target=task, found=1, done=done, skipped=1 - min(done, 1),
            finished_at=timezone.now(), note="\n".join(notes),
        )  # fmt: skip


def note(what: str, who: str, target: str) -> Deed:
    """Write down a deed on something that is no task; call it in the deed's transaction."""
    return Deed.objects.using(queue.alias()).create(
        who=who, what=what, target=target, found=1, done=1, finished_at=timezone.now()
    )


def pause(what: str, who: str, kind: actions.Kind, name: str) -> bool:
    """Pause or resume a queue or a task; return whether that changed anything.

    :raises FilterError: a task of this name is not known.
    """
    with transaction.atomic(using=queue.alias()):
        if what == "resume":
            changed = actions.resume(kind, name)
        else:
            if kind == "task":
                _known(name)
            changed = actions.pause(kind, name, who)
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


def count(what: str, asked: filters.Filter) -> tuple[int, int, bool]:
    """Return to how many rows and entries *what* would be done, and whether there may be more."""
    return listing.count(concerned(what, asked), overview.CAP)


def step(deed_id: int) -> bool:
    """Do the next ``CHUNK`` of a deed on many, in one transaction; return whether there are more.

    However often a worker dies: the cursor moves with what was done.
    """
    with transaction.atomic(using=queue.alias()):
        deed = Deed.objects.using(queue.alias()).select_for_update().get(pk=deed_id)
        if deed.finished_at or deed.cancelled_at:
            return False
        # What was called, has begun or has ended after it was confirmed is not meant: a task that
        # is cancelled makes room for the next one of a backlog.
        found = concerned(deed.what, filters.parse(deed.target, deed.at))
        waiting: list[int] = []
        past: list[int] = []
        if found.rows is not None:
            rows = listing.rows(found.rows & Q(created_at__lte=deed.at))
            rows = rows.exclude(started_at__gt=deed.at).exclude(quarantined_at__gt=deed.at)
            waiting = listing.ids_after(deed.cursor, rows, conf.CHUNK)
        if found.entries is not None:
            ended = listing.entries(found.entries & Q(ended_at__lte=deed.at))
            past = listing.ids_after(deed.cursor, ended, conf.CHUNK)
        chosen = sorted({*waiting, *past})[: conf.CHUNK]
        if not chosen:
            deed.finished_at = timezone.now()
            deed.save()
            return False
        done, notes = _do(deed.what, deed.who, waiting, past, set(chosen))
        deed.cursor, deed.done = chosen[-1], deed.done + done
        deed.skipped += len(chosen) - done
        deed.note = "\n".join([*filter(None, deed.note.split("\n")), *notes][:20])
        deed.save()
    return True


def cancel(deed_id: int, who: str) -> bool:
    """Stop a deed on many where it is; return whether it was still under way."""
    goes_on = Deed.objects.using(queue.alias()).filter(finished_at=None, cancelled_at=None)
    with transaction.atomic(using=queue.alias()):
        stopped = bool(goes_on.filter(pk=deed_id).update(cancelled_at=timezone.now()))
        if stopped:
            note("stop deed", who, str(deed_id))
    return stopped


def concerned(what: str, asked: filters.Filter) -> filters.Filter:
    """Return what *asked* finds of the rows and entries that a deed on many is about."""
    rows = (
        Q(quarantined_at__isnull=False)
        if what == "retry"
        else Q(started_at__isnull=what == "discard")
    )
    ended: Q | None = None
    if what != "cancel" and asked.entries is not None:
        ended = asked.entries & Q(replayed_at=None)
        if what == "discard":
            ended &= filters.FAILED
    return asked._replace(
        rows=asked.rows & rows if asked.rows is not None else None,
        entries=ended,
        # Those in quarantine and those that run are few, and an index holds them.
        few_rows=asked.few_rows or what != "discard",
        among=filters.FAILED if what == "discard" else asked.among,
    )


def _do(
    what: str,
    who: str,
    row_ids: Sequence[int],
    entry_ids: Sequence[int],
    only: set[int] | None = None,
) -> tuple[int, list[str]]:
    rows = [one for one in row_ids if only is None or one in only]
    ended = [one for one in entry_ids if only is None or one in only]
    if what == "discard":
        seen_to = actions.discard_failures(ended)
        done = actions.discard(rows, who)
        return done.ended + seen_to, done.troubles[:5]
    if what == "cancel":
        return sum(actions.cancel(one, who) for one in rows), []
    again = quarantine.requeue(rows, who) if rows else 0
    started = actions.replay(ended, who)
    return again + started.started, started.troubles[:5]
