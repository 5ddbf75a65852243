"""The endpoints that the load goes through."""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from celery import chain
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from . import record, tasks
from .mode import BASELINE


@csrf_exempt
@require_POST
def enqueue(request: HttpRequest) -> JsonResponse:
    """Enqueue the operations of the body, in one transaction with a row about each.

    The body: ``label``, ``operations`` (a list of ``{"id", "kind", "seconds"}``), ``rollback``:
    whether to roll back at the end, ``die``: whether the process is killed right after the commit,
    before anything else happens.
    """
    body: dict[str, Any] = json.loads(request.body)
    operations: list[dict[str, Any]] = body["operations"]
    with transaction.atomic():
        if body.get("die"):
            transaction.on_commit(functools.partial(os.kill, os.getpid(), signal.SIGKILL))
        rows = [(body["label"], each["id"], each["kind"]) for each in operations]
        # A chain's second task is an operation of its own.
        rows += [
            (body["label"], f"{each['id']}-2", "chain")
            for each in operations
            if each["kind"] == "chain"
        ]
        record.enqueued(rows)
        for each in operations:
            CALLS[each["kind"]](each)
        time.sleep(body.get("hold", 0))
        transaction.set_rollback(bool(body.get("rollback")))
    return JsonResponse({"operations": [row[1] for row in rows]}, status=202)


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    """Read a large body while it comes; answer with its size."""
    return JsonResponse({"bytes": sum(map(len, iter(lambda: request.read(65536), b"")))})


def _call(task: Any, *args: Any, **options: Any) -> None:
    if BASELINE:  # the documentation's way
        transaction.on_commit(functools.partial(task.apply_async, args, **options))
    else:
        task.apply_async_on_commit(args, **options)


def _call_effect(each: dict[str, Any]) -> None:
    _call(tasks.effect, each["id"], each["seconds"])


def _call_short(each: dict[str, Any]) -> None:
    """Call it by Django's API for tasks: half of the load."""
    tasks.short_effect.enqueue(each["id"], each["seconds"])


def _call_unique(each: dict[str, Any]) -> None:
    label = each["id"].partition("/")[0]
    once = tasks.sweep.unique(key=label)
    once.apply_async_on_commit([label, each["seconds"]], concurrency_key=f"sweep {label}")


def _call_event(each: dict[str, Any]) -> None:
    for _ in range(2):
        _call(tasks.event, each["id"], each["seconds"], dedupe=each["id"])


def _call_limited(each: dict[str, Any]) -> None:
    label = each["id"].partition("/")[0]
    _call(tasks.limited_effect, f"customer of {label}", each["id"], each["seconds"])


def _call_chain(each: dict[str, Any]) -> None:
    both = chain(
        tasks.effect.si(each["id"], each["seconds"]),
        tasks.effect.si(f"{each['id']}-2", each["seconds"]),
    )
    if BASELINE:
        transaction.on_commit(both.delay)
        return
    from durable.queue.caller.calls import durable

    with durable():
        both.delay()


#: What enqueues an operation of each kind.
CALLS: dict[str, Callable[[dict[str, Any]], None]] = {
    "short": _call_effect if BASELINE else _call_short,
    # The documentation's settings have nothing of the kind: just another task.
    "unique": _call_effect if BASELINE else _call_unique,
    "event": _call_effect if BASELINE else _call_event,
    "limited": _call_effect if BASELINE else _call_limited,
    "long": lambda each: _call(tasks.long_effect, each["id"], each["seconds"]),
    "later": lambda each: _call(tasks.effect, each["id"], each["seconds"], countdown=5),
    "retry": lambda each: _call(tasks.second_try, each["id"]),
    "chain": _call_chain,
    "poison": lambda each: _call(tasks.poison, each["id"]),
    "glutton": lambda each: _call(tasks.glutton, each["id"]),
    "endless": lambda each: _call(tasks.endless, each["id"]),
    "cancelled": lambda each: _call(tasks.writes_and_hangs, each["id"]),
}
