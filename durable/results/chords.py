"""Counting the parts of a chord, each once, and calling its body when none is missing."""

from __future__ import annotations

import logging
from typing import Any

from celery import maybe_signature
from celery.exceptions import ChordError
from django.db import router, transaction
from django_celery_results.backends.database import trigger_callback
from django_celery_results.models import ChordCounter

from .models import ChordPart

logger = logging.getLogger(__name__)


def count_part(app: Any, group_id: str, task_id: str, body: Any) -> None:
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
        _, new = ChordPart.objects.using(using).get_or_create(counter=counter, task_id=task_id)
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
        results = counter.group_result(app=app)
        callback = maybe_signature(body, app=app)
        if results.ready():
            trigger_callback(app=app, callback=callback, group_result=results)
        else:
            _fail_body(app, group_id, callback)
        counter.delete(using=using)


def _fail_body(app: Any, group_id: str, callback: Any) -> None:
    """Let the body fail that can't be called: whoever waits for it would wait for ever."""
    try:
        raise ChordError(
            f"chord {group_id}: all tasks have ended, but some have no result (ignore_result?), so "
            "that its body can't be called"
        )
    except ChordError as error:
        logger.error("%s", error)
        app.backend.chord_error_from_stack(callback, error)


def _lock(using: str, group_id: str) -> ChordCounter | None:
    counters = ChordCounter.objects.using(using).select_for_update()
    return counters.filter(group_id=group_id).first()
