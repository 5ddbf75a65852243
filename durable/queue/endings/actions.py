"""A person's actions on tasks: to discard, cancel, revoke, start again, and pause them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

from celery import current_app, states
from celery.app.control import Control as CelerysControl
from celery.utils.functional import maybe_list
from django.db import transaction
from django.db.models.functions import Now
from kombu.utils.json import dumps, loads

from durable.database import locks
from durable.database.retry import is_away
from durable.database.text import repr_of
from durable.journal import entry, redaction
from durable.journal.models import Entry

from .. import conf, overview, results, store
from ..caller import notify
from ..models import Pause, Task

Kind = Literal["queue", "task"]


class Discarded(NamedTuple):
    """The outcome for a selection of rows."""

    ended: int
    #: How many run now and were left alone.
    running: int
    #: A sentence for each whose end could not be told, or not be stored, and why.
    troubles: list[str]


def discard(ids: list[int], who: str) -> Discarded:
    """End the tasks of the rows *ids* that no worker runs: all that can be ended, or nothing.

    One in quarantine has failed, and so have its chain and its chord, and its error callbacks are
    called. Any other is revoked, as one that has expired. A worker that holds one of them finds it
    gone when it wants to begin.

    :param who: who wants it, for the result.
    :raises Exception: the database or the result backend is away; nothing has changed.
    """
    ended, troubles = 0, []
    with transaction.atomic(using=conf.alias()):
        store.run("SELECT pg_advisory_xact_lock(%s)", [locks.DISCARD])
        rest = iter(store.lock_idle(ids))
        running = store.running(ids)
        while some := list(islice(rest, conf.BATCH)):  # their bodies may be large
            over = []
            for row in Task.objects.using(conf.alias()).filter(pk__in=some).order_by("pk"):
                done, trouble = _end(row, f"discarded by {who}")
                if done:
                    over.append((row.pk, _entry(row, entry.DISCARDED, f"discarded by {who}")))
                if trouble:
                    troubles.append(trouble)
            store.delete(over)
            ended += len(over)
    return Discarded(ended, running, troubles)


def discard_failures(ids: Sequence[int]) -> int:
    """Mark entries of failed tasks as seen to; return of how many that was not so before.

    They have ended: nothing but the list of failures changes, and they can be started again.
    """
    failed = Entry.objects.using(conf.alias()).filter(
        pk__in=ids, state__in=entry.FAILED, replayed_at=None, discarded_at=None
    )
    return failed.update(discarded_at=Now())


def _end(row: Task, why: str) -> tuple[bool, str]:
    """Store the end of *row*'s task; return whether it is stored, and what went wrong."""
    trouble = ""
    for whole in (True, False):
        try:
            with transaction.atomic(using=conf.alias()):
                _store_end(row, why, whole)
        except Exception as error:
            if is_away(error):
                raise
            # What can't be read or sent may be what brought it here; it ends all the same.
            what = "those that depend on it could not be told" if whole else "it could not be ended"
            with redaction.about(redaction.of_row(row)):
                trouble = redaction.clean(f"{row}: {what}: {repr_of(error)}")
        else:
            return True, trouble
    return False, trouble


def _store_end(row: Task, why: str, whole: bool) -> None:
    """Store that *row*'s task has failed or is revoked, and if *whole*, tell those that depend."""
    request = results.context_of(row) if whole else results.context(row.task_id, row.task)
    if row.quarantined_at:
        error = results.Quarantined(row.error)
        current_app.backend.mark_as_failure(
            row.task_id, error, request=request, call_errbacks=whole
        )
    else:
        results.store_revoked(request, why)


def _entry(row: Task, state: str, why: str) -> entry.End | None:
    if row.quarantined_at:
        why = f"{why}; {row.error}"
    return results.end_of(row, state, why)


def cancel(row_id: int, who: str) -> bool:
    """End a task that runs now; return whether it was still there.

    Its row is deleted and its result REVOKED in one transaction. From then on the attempt finds no
    row to end, in whatever pool: its last effects are rolled back. What a task with
    ``atomic=False`` has committed before stays. Its worker ends its process by the next sign of
    life, and needs no broker for it; a thread works on for nothing.

    :param who: who wants it, for the result.
    """
    with transaction.atomic(using=conf.alias()):
        rows = Task.objects.using(conf.alias()).select_for_update().filter(pk=row_id)
        row = rows.exclude(started_at=None).first()
        if row is None:
            return False
        why = f"cancelled by {who}"
        results.store_revoked(results.context_of(row), why)
        store.finish([(row.pk, row.attempt)], end=results.end_of(row, states.REVOKED, why))
        store.order_end(row.pk, row.worker or "")
    return True


def revoke(task_ids: Sequence[str]) -> int:
    """End waiting tasks by their ids, as ``app.control.revoke()`` asks; return how many."""
    with transaction.atomic(using=conf.alias()):
        rows = Task.objects.using(conf.alias()).filter(pk__in=store.lock_waiting(task_ids))
        over = [
            (row.pk, _entry(row, states.REVOKED, "revoked"))
            for row in rows.order_by("pk") if _end(row, "revoked")[0]
        ]  # fmt: skip
        store.delete(over)
    return len(over)


class Control(CelerysControl):  # type: ignore[misc]
    """Celery's remote control; what it revokes and waits in a row ends there, for all workers.

    Celery's own tells the workers that run now, which keep it in memory.
    """

    def revoke(
        self, task_id: Any, destination: Any = None, terminate: bool = False, **kwargs: Any
    ) -> Any:
        """Revoke one task, or several: those that wait, at once; the workers hear of all."""
        ids = maybe_list(task_id)
        if destination is None and revoke(ids) == len(ids):
            return None  # no worker has to hear of it
        return super().revoke(task_id, destination, terminate, **kwargs)


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
