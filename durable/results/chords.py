"""Counting the parts of a chord, each once, and calling its body when none is missing.

A part is a task whose end the body waits for: of a group in the header each of its tasks, of a
chain its last one, of a chord that of its body.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from celery import maybe_signature
from celery.canvas import Signature, group
from celery.exceptions import ChordError
from celery.result import GroupResult, allow_join_result
from celery.utils.functional import maybe_list
from django.db import Error, router, transaction
from django.db.models import F
from django_celery_results.models import ChordCounter

from durable.database.text import repr_of

from .models import ChordPart

logger = logging.getLogger(__name__)

#: The count of a header that is still being sent: more than it will have parts.
OPEN = 2**31 - 1


def begin(group_id: str, header: list[Any] | None) -> None:
    """Begin to count the parts of a chord.

    :param header: the results of its header; ``None`` if they are not known before it is sent.
    """
    results = header or []
    ChordCounter.objects.create(
        group_id=group_id,
        sub_tasks=json.dumps([result.as_tuple() for result in results]),
        count=OPEN if header is None else sum(map(_parts, results)),
    )


def close(group_id: str, size: int) -> None:
    """Say how many parts a header has whose last task is about to be sent.

    The ids that a generator's tasks get are in none of the results that Celery hands over, so that
    those of the parts themselves count then, as they do on Redis.
    """
    still_open = ChordCounter.objects.filter(group_id=group_id, count__gt=OPEN // 2)
    still_open.update(count=F("count") - (OPEN - size))


def add_part(group_id: str, result: Any) -> None:
    """Add a task to the header of a chord, one of whose parts is running."""
    using = router.db_for_write(ChordCounter)
    with transaction.atomic(using=using):
        if counter := _lock(using, group_id):
            if header := json.loads(counter.sub_tasks):
                counter.sub_tasks = json.dumps([*header, result.as_tuple()])
            counter.count += _parts(result)
            counter.save(using=using, update_fields=["sub_tasks", "count"])


def _parts(result: Any) -> int:
    return sum(map(_parts, result.results)) if isinstance(result, GroupResult) else 1


def parts_of(signature: Any, app: Any) -> Iterator[Signature]:
    """Yield the tasks by whose end *signature* ends, as they were frozen."""
    found = maybe_signature(signature, app=app)
    if isinstance(found, group):
        for task in found.tasks:
            yield from parts_of(task, app)
    elif found.task == "celery.chain" and found.tasks:
        yield from parts_of(found.tasks[-1], app)
    elif found.task == "celery.chord":
        yield from parts_of(found.body, app)
    else:
        yield found


def without_outer_errbacks(body: Signature) -> Signature:
    """Return the *body* of a failed chord without the error callbacks of the chord around it.

    ``link_error()`` hands a callback on to the chords in a header, and the failure of one is the
    outer one's too, which calls it itself.
    """
    for part in parts_of(body, body.app):
        if outer := part.options.get("chord"):
            return _without(body, list(_errbacks(maybe_signature(outer, app=body.app))))
    return body


def _errbacks(signature: Any) -> Iterator[Any]:
    yield from maybe_list(signature.options.get("link_error")) or ()
    if isinstance(signature, group):
        for task in signature.tasks:
            yield from _errbacks(task)
    elif signature.task == "celery.chord":
        yield from _errbacks(signature.body)


def _without(signature: Any, errbacks: list[Any]) -> Any:
    found = signature.clone()
    if own := maybe_list(found.options.get("link_error")):
        found.options["link_error"] = [one for one in own if one not in errbacks]
    if isinstance(found, group):
        found.tasks = [_without(task, errbacks) for task in found.tasks]
    return found


def count_part(
    app: Any, group_id: str, task_id: str, body: Any, position: int | None = None
) -> None:
    """Count that *task_id* has ended; with the last one, call *body* with all results.

    May be done again after any failure. The counter is deleted only after the body was called, so
    that a crash between the two is made good by the redelivery of the last task.
    """
    using = router.db_for_write(ChordCounter)
    with transaction.atomic(using=using):
        counter = _lock(using, group_id)
        if counter is None:
            # The body was called already, or an upstream older than 2.0 began the chord.
            logger.warning("chord %s: %s ended, but nothing counts its parts", group_id, task_id)
            return
        _, new = ChordPart.objects.using(using).get_or_create(
            counter=counter, task_id=task_id, defaults={"position": position}
        )
        if new and counter.count > 0:
            counter.count -= 1
            counter.save(using=using, update_fields=["count"])
        if counter.count:
            return
    _call_body(app, using, group_id, body)


def _call_body(app: Any, using: str, group_id: str, body: Any) -> None:
    with transaction.atomic(using=using):
        counter = _lock(using, group_id)
        if counter is None:
            return  # by another delivery of the same task
        callback = maybe_signature(body, app=app)
        try:
            values = _join(app, using, _header(app, using, counter))
            try:
                callback.delay(values)
            except Error:
                raise  # the database's; all of it is done again
            except Exception as error:
                raise ChordError(f"Callback error: {repr_of(error)}") from error
        except ChordError as error:
            # Without it, a caller that waits for the body would wait for ever.
            # A part's error may tell its secret arguments; the body's result has the whole text.
            why = type(error.__cause__).__name__ if error.__cause__ else error
            logger.error("chord %s: its body is not called: %s", group_id, why)
            app.backend.chord_error_from_stack(callback, error)
        counter.delete(using=using)


def _header(app: Any, using: str, counter: ChordCounter) -> Any:
    """Return the results of a header whose parts have all ended."""
    if counter.sub_tasks != "[]":
        return counter.group_result(app=app)
    parts = ChordPart.objects.using(using).filter(counter=counter)
    # Those without a position come last.
    ids = parts.order_by("position", "id").values_list("task_id", flat=True)
    return app.GroupResult(counter.group_id, [app.AsyncResult(task_id) for task_id in ids])


def _leaves(result: Any) -> Iterator[Any]:
    for one in result.results:
        if isinstance(one, GroupResult):
            yield from _leaves(one)
        else:
            yield one


def _join(app: Any, using: str, header: Any) -> list[Any]:
    """Return the results of all parts, or raise as Celery's backend for Redis does.

    By one query, from where they are written: a replica has no result of this transaction.

    :raises ChordError: a part has failed, or has no result.
    """
    leaves = list(_leaves(header))
    stored = _stored(app.backend, using, [one.id for one in leaves])
    for one in leaves:
        one._cache = stored.get(one.id)  # which ready() and get() ask first
    if not header.ready():
        raise ChordError(
            f"chord {header.id}: all tasks have ended, but some have no result (ignore_result?), "
            "so that its body can't be called"
        )
    values = []
    for result in header.results:
        try:
            with allow_join_result():
                values.append(result.get(timeout=app.conf.result_chord_join_timeout))
        except Error:
            raise
        except Exception as error:
            raise ChordError(f"Dependency {result.id} raised {repr_of(error)}") from error
    return values


def _stored(backend: Any, using: str, task_ids: list[str]) -> dict[str, Any]:
    """Return what ``backend.get_task_meta()`` would of each task, as far as a join asks for it."""
    return {
        row.task_id: backend.meta_from_decoded({
            "status": row.status, "traceback": row.traceback,
            "result": backend.decode_content(row, row.result),
        })
        for row in backend.TaskModel.objects.using(using).filter(task_id__in=task_ids)
    }  # fmt: skip


def _lock(using: str, group_id: str) -> ChordCounter | None:
    counters = ChordCounter.objects.using(using).select_for_update()
    return counters.filter(group_id=group_id).first()
