"""Eager mode (``CELERY_TASK_ALWAYS_EAGER``): the caller runs its tasks itself, after the commit."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery import current_app, states
from celery.result import AsyncResult
from django.db import DatabaseError, connections, transaction
from kombu.utils.json import loads

from durable.journal import entry

from .. import conf, store

if TYPE_CHECKING:
    from .template import Call


class Batch:
    """The calls of one transaction, run after it; one from a savepoint may be gone by then."""

    def __init__(self) -> None:
        self.calls: dict[int, tuple[Call, AsyncResult]] = {}

    def __call__(self) -> None:
        from .calls import as_rows

        left = store.existing(list(self.calls))
        with as_rows(None):  # the call is over; what its task calls is for the task to say
            for row_id, (call, result) in self.calls.items():
                if row_id in left:
                    run(row_id, call, result)


def on_commit(row_id: int, call: Call, result: AsyncResult) -> None:
    """Run the task of a row when the transaction commits.

    :param result: what the caller was given; it knows from then how the task has ended.
    """
    connection: Any = connections[conf.alias()]
    # Django's TestCase never commits, and captureOnCommitCallbacks() runs those of one block
    # without taking them from the list: what is added to one of them later would not be run.
    in_testcase = any(block._from_testcase for block in connection.atomic_blocks)
    for _, callback, *_ in () if in_testcase else reversed(connection.run_on_commit):
        # One that is still here is dropped only together with this row's transaction or savepoint:
        # whatever encloses the one, encloses the other.
        if isinstance(callback, Batch):
            callback.calls[row_id] = call, result
            return
    batch = Batch()
    batch.calls[row_id] = call, result
    transaction.on_commit(batch, using=conf.alias())


#: The headers that Celery writes; the others are the caller's own.
_CELERYS = frozenset(
    {"lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries",
     "timelimit", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result",
     "replaced_task_nesting", "stamped_headers", "stamps", "reply_to"}
)  # fmt: skip


def worker_id() -> str:
    """Return what stands in a row as its worker while its caller runs it."""
    return f"eager:{os.getpid()}"


def run(row_id: int, call: Call, result: AsyncResult) -> None:
    """Run a task here and now, under its row.

    :raises Exception: the task's, with ``CELERY_TASK_EAGER_PROPAGATES``.
    """
    args, kwargs, embed = loads(call.body)
    headers = loads(call.headers)
    own = {name: value for name, value in headers.items() if name not in _CELERYS}
    own = {name: value for name, value in own.items() if name not in (headers["stamps"] or {})}
    options: dict[str, Any] = {
        "headers": {**own, conf.HEADER: [row_id, 0, worker_id()]}, "retries": headers["retries"],
        "link": embed["callbacks"], "link_error": embed["errbacks"], "priority": call.priority,
        "ignore_result": headers["ignore_result"],
    }  # fmt: skip
    if headers["stamped_headers"]:
        options |= {"stamped_headers": headers["stamped_headers"], **headers["stamps"]}
    try:
        done = current_app.tasks[call.task].apply(args, kwargs, task_id=call.task_id, **options)
    except Exception as error:
        # Celery reports no failure that it raises. The caller's own error is the one to see.
        with suppress(DatabaseError):
            how = entry.failure(call.task, states.FAILURE, error, args, kwargs, embed)
            store.drop(row_id, worker_id(), how)
        raise
    result._cache = done._cache  # which get() and all the others ask first
    result.on_ready(result)
