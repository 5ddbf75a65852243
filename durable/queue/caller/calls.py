"""The caller's side: a call becomes a row in the caller's transaction, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any

from celery.exceptions import Ignore
from celery.signals import after_task_publish, before_task_publish
from django.db import connections, transaction
from django.db.models.query import QuerySet
from kombu.utils.json import loads

from .. import conf, store
from . import eager, notify, template, unique
from .options import as_json
from .template import Call

#: Rows that one statement of a bulk call writes.
CHUNK = 1000
#: Seconds between two calls after which a connection may have been cut.
IDLE = 1.0

_durable: ContextVar[bool | None] = ContextVar("durable", default=None)


def is_durable() -> bool:
    """Return whether ``apply_async()`` writes a row at the moment."""
    from celery import current_app

    asked = _durable.get()
    if asked is None:
        return bool(conf.get("DELAY")) and not current_app.conf.task_always_eager
    return asked


@contextmanager
def durable() -> Iterator[None]:
    """Make every ``delay()`` and ``apply_async()`` inside write a row instead of a message.

    For groups, chains and chords, which call their tasks themselves::

        with durable():
            chain(fetch.s(url), parse.s()).delay()

    It is a transaction, unless it stands in one: a canvas writes several rows, and a chord its
    counter, of which one without the others would never end. In a task, ``self.finishing()`` goes
    around it and not inside.
    """
    with atomic_unless_already(), as_rows():
        yield


@contextmanager
def as_rows(asked: bool | None = True) -> Iterator[None]:
    """Let ``apply_async()`` write rows, in whatever transaction there is."""
    token = _durable.set(asked)
    try:
        yield
    finally:
        _durable.reset(token)


@contextmanager
def plain() -> Iterator[None]:
    """Let ``delay()`` and ``apply_async()`` send messages through the broker inside."""
    with as_rows(False):
        yield


@contextmanager
def atomic_unless_already() -> Iterator[None]:
    """A transaction, if there is none and rows are written at all."""
    from celery import current_app

    if connections[conf.alias()].in_atomic_block or current_app.conf.task_always_eager:
        yield
        return
    ignored = None
    with transaction.atomic(using=conf.alias()):
        try:
            yield
        except Ignore as error:  # replace() among others: not an error, so nothing is rolled back
            ignored = error
    if ignored:
        raise ignored


def _drop_if_cut() -> None:
    """Drop a connection that was cut while it was idle; a transaction has no other one.

    Asked before and not tried again after: a row whose answer was lost could be there twice. In the
    middle of requests Django asks itself, at their start; a bot or a consumer has none.
    """
    connection: Any = connections[conf.alias()]
    now, before = time.monotonic(), getattr(connection, "durable_called_at", float("-inf"))
    connection.durable_called_at = now
    idle = now - before > IDLE and connection.connection is not None
    if idle and not connection.in_atomic_block and not connection.is_usable():
        connection.close()


def enqueue(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Write the row of a call; return the ``AsyncResult`` of the task, whose id it has from now."""
    app = task.app
    once = unique.of(task, options)
    call = template.prepare(task, args, kwargs, options)
    here = bool(app.conf.task_always_eager)
    # Celery's eager mode waits for no time either, and publishes nothing.
    call = call._replace(due_at=None) if here else publishing(call)
    _drop_if_cut()
    row_id: int | None
    if once is None:
        row_id, task_id = store.insert(call._asdict()), call.task_id
    else:
        key = once.key or unique.key_of(task, args or (), kwargs or {})
        row_id, task_id = store.insert_once(call._asdict(), once._replace(key=key))
    result = task.AsyncResult(task_id)
    result.ignored = bool(options.get("ignore_result"))  # as send_task() does: get() is None then
    result.is_new = row_id is not None
    if not here:  # also of one that was there already: what began with it has an end
        published(call)
    if row_id is None:
        return result
    if here:
        eager.on_commit(row_id, call, result)
    elif call.due_at is None:
        notify.after_commit(notify.of(call))
    if options.get("add_to_parent", True) and (parent := app.current_worker_task):
        parent.add_trail(result)
    return result


def enqueue_many(task: Any, arguments: Iterable[Any], options: dict[str, Any]) -> int:
    """Write the rows of many calls of *task*, ``CHUNK`` by one statement; return how many.

    :param arguments: a tuple or list of positional arguments, a dict of named ones, or any other
        value as the only argument. A queryset is read by a cursor of the server, a chunk at a time,
        and not kept; of models, the argument is the primary key.
    """
    app, count = task.app, 0
    if unique.of(task, options):
        raise TypeError(
            f"{task.name}: map_on_commit() writes a call for each item, and takes no unique= and "
            "no dedupe=; call the task once for each: `task.unique(…).delay_on_commit(…)`"
        )
    here, shared = bool(app.conf.task_always_eager), template.is_shared(task, options)
    _drop_if_cut()
    with atomic_unless_already():
        source = iter(_read(arguments))
        while chunk := list(islice(source, CHUNK)):
            calls, made = [], None
            for item in chunk:
                args, kwargs = template.checked(task, *_split(item))
                if made is None or not shared:
                    made = template.Template(task, args, kwargs, dict(options))
                calls.append(made.call(args, kwargs))
            if here:
                for call in calls:
                    row_id = store.insert(call._replace(due_at=None)._asdict())
                    eager.on_commit(row_id, call, task.AsyncResult(call.task_id))
            else:
                calls = [publishing(call) for call in calls]
                for some in ([c for c in calls if not c.place], [c for c in calls if c.place]):
                    if some:  # a route may lead some of them to a queue with a limit
                        places = [call.place for call in some if call.place]
                        store.insert_many([call[:-1] for call in some], places)
                for call in calls:
                    published(call)
                for name in {notify.of(call) for call in calls if not call.due_at}:
                    notify.after_commit(name)
            count += len(calls)
    return count


def _read(arguments: Iterable[Any]) -> Iterable[Any]:
    if not isinstance(arguments, QuerySet):
        return arguments
    if not arguments.query.has_select_fields:
        arguments = arguments.values_list("pk", flat=True)
    return arguments.iterator(chunk_size=CHUNK)


def _split(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        return (), item
    return (item, {}) if isinstance(item, (tuple, list)) else ((item,), {})


def publishing(call: Call) -> Call:
    """Send ``before_task_publish``; return the row with the headers that receivers have left.

    Tracers hook it (OpenTelemetry, Datadog): they put a header into the call, and find it in the
    worker.

    :raises TypeError: a receiver added a header that JSON can't hold.
    """
    if not before_task_publish.receivers:
        return call
    sent = _message(call)
    headers = sent["headers"]
    properties = {
        "correlation_id": call.task_id,
        "reply_to": headers.get("reply_to") or "",
        "priority": call.priority,
    }
    before_task_publish.send(
        sender=call.task, **sent, declare=[], properties=properties, retry_policy={}
    )
    return call._replace(headers=as_json(call.task, {"headers=": headers}, headers))


def published(call: Call) -> None:
    """Send ``after_task_publish``: the row is written, in a transaction that may not be over."""
    if after_task_publish.receivers:
        after_task_publish.send(sender=call.task, **_message(call))


def _message(call: Call) -> dict[str, Any]:
    return {
        "body": tuple(loads(call.body)),
        "headers": loads(call.headers),
        "exchange": "",
        "routing_key": call.queue,
    }
