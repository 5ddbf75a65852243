"""The caller's side: a call becomes a row in the caller's transaction, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from celery.exceptions import Ignore
from celery.utils import uuid
from celery.utils.functional import maybe_list
from django.db import connections, transaction
from django.utils import timezone
from kombu.utils.json import loads

from .. import conf, store
from . import eager, notify
from .options import (
    MESSAGE,
    as_json,
    queue_of,
    refuse_unfit,
    refuse_unknown,
    times_of,
)

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


class Call(NamedTuple):
    """A call of a task, checked as Celery would, in the columns of its row."""

    task_id: str
    task: str
    queue: str
    priority: int
    headers: str
    body: str
    expires: datetime | None
    due_at: datetime | None


def prepare(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Call:
    """Return the row for a call of *task*, after the checks that Celery makes too.

    :raises TypeError: arguments that the task doesn't take, or an option that can't be kept.
    :raises ValueError: a value that the row can't hold.
    """
    args, kwargs = args or (), kwargs or {}
    if not isinstance(args, (list, tuple)):
        raise TypeError(f"{task.name}: task args must be a list or tuple")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"{task.name}: task keyword arguments must be a mapping")
    args, kwargs = tuple(args), dict(kwargs)
    if task.typing and (check_arguments := getattr(task, "__header__", None)):
        check_arguments(*args, **kwargs)
    options["shadow"] = options.get("shadow") or task.shadow_name(args, kwargs, options)
    options.setdefault("ignore_result", task.ignore_result)
    options = {**task._get_exec_options(), **options}
    options = {name: value for name, value in options.items() if value is not None}
    refuse_unknown(task.name, options)
    if task._dump_pydantic_arguments is not None:
        args, kwargs = task._dump_pydantic_arguments(args, kwargs)
    if options.get("chord"):
        refuse_chord(task, bool(options.get("ignore_result")))

    app = task._get_app()
    name = options.get("route_name") or task.name
    routed = app.amqp.router.route(dict(options), name, args, kwargs, task)
    queue = queue_of(app, task.name, routed)
    if parent := app.current_worker_task:
        if app.conf.task_inherit_parent_priority and not {"root_id", "parent_id"} <= options.keys():
            routed.setdefault("priority", (parent.request.delivery_info or {}).get("priority"))
        options.setdefault("root_id", parent.request.root_id or parent.request.id)
        options.setdefault("parent_id", parent.request.id)
    due_at, expires = times_of(task.name, options)
    stamps = set(options.get("stamped_headers") or ())
    kept = {name: value for name, value in {**routed, **options}.items()
            if name in MESSAGE or name in stamps}  # fmt: skip
    task_id = str(options.get("task_id") or uuid())
    message = app.amqp.as_task_v2(
        task_id, task.name, args, kwargs, expires=expires,
        callbacks=maybe_list(options.get("link")), errbacks=maybe_list(options.get("link_error")),
        **kept,
    )  # fmt: skip
    headers = {**message.headers, **(options.get("headers") or {})}
    headers.pop(conf.HEADER, None)
    if reply_to := options.get("reply_to") or _reply_to(app):
        headers["reply_to"] = reply_to
    parts = {f"argument {number}": value for number, value in enumerate(args, 1)}
    parts |= {f"{name}=": value for name, value in {**kwargs, **options}.items()}
    found = Call(
        task_id, task.name, queue, routed.get("priority") or 0,
        as_json(task.name, parts, headers), as_json(task.name, parts, message.body), expires,
        due_at if due_at and due_at > timezone.now() else None,
    )  # fmt: skip
    refuse_unfit(found._asdict())
    refuse_unreadable(task.name, found.body, args, kwargs)
    return found


def refuse_unreadable(task: str, body: str, args: Any, kwargs: Any) -> None:
    """Refuse an argument that looks like kombu's own mark for a type, and isn't one.

    :raises TypeError: the row could be written, and no worker could read it.
    """
    if '"__type__"' not in body:
        return
    try:
        loads(body)
    except Exception as error:
        raise TypeError(
            f"{task}: an argument holds a dict with __type__ and __value__, which is how kombu "
            f"marks a type in JSON, and no worker could read it ({error}); pass it as a text "
            "(json.dumps), or under other names"
        ) from error


def _reply_to(app: Any) -> str | None:
    """Return the queue of this thread's replies, if the results go there (``rpc://``)."""
    return str(app.thread_oid) if app.conf.result_backend == "rpc://" else None


def refuse_chord(task: Any, ignores_result: bool) -> None:
    """A chord counts its parts in the result backend; that must share the rows' transaction.

    :raises TypeError: it doesn't, or a part has no result.
    """
    from ..results import is_transactional

    if ignores_result:
        raise TypeError(
            f"{task.name}: a chord's body gets the results of its header, and this task of the "
            "header has ignore_result=True; leave that out, or call it with "
            ".set(ignore_result=False)"
        )
    if not is_transactional(task.backend):
        raise TypeError(
            f"{task.name}: a durable chord needs the default CELERY_RESULT_BACKEND or django-db, "
            "where its parts are counted in the transaction that finishes each; use one of them, "
            "or send it plainly: `with plain(): chord(…)(…)`"
        )


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
    app = task._get_app()
    call = prepare(task, args, kwargs, options)
    here = bool(app.conf.task_always_eager)
    if here:  # Celery's eager mode waits for no time either
        call = call._replace(due_at=None)
    _drop_if_cut()
    row_id = store.insert(call._asdict())
    result = task.AsyncResult(call.task_id)
    result.ignored = bool(options.get("ignore_result"))  # as send_task() does: get() is None then
    if here:
        eager.on_commit(row_id, call, result)
    elif call.due_at is None:
        notify.after_commit(notify.lane(call.queue, call.priority))
    if options.get("add_to_parent", True) and (parent := app.current_worker_task):
        parent.add_trail(result)
    return result


def enqueue_many(task: Any, arguments: Iterable[Any], options: dict[str, Any]) -> int:
    """Write the rows of many calls of *task*, ``CHUNK`` by one statement; return how many.

    :param arguments: a tuple or list of positional arguments, a dict of named ones, or any other
        value as the only argument; a queryset's ``iterator()`` is read a chunk at a time.
    """
    app, count = task._get_app(), 0
    source = iter(arguments)
    _drop_if_cut()
    with atomic_unless_already():
        while chunk := list(islice(source, CHUNK)):
            calls = [prepare(task, *_split(item), dict(options)) for item in chunk]
            if app.conf.task_always_eager:
                for call in calls:
                    row_id = store.insert(call._replace(due_at=None)._asdict())
                    eager.on_commit(row_id, call, task.AsyncResult(call.task_id))
            else:
                store.insert_many([call._asdict() for call in calls])
                for name in {notify.lane(c.queue, c.priority) for c in calls if not c.due_at}:
                    notify.after_commit(name)
            count += len(calls)
    return count


def _split(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        return (), item
    return (item, {}) if isinstance(item, (tuple, list)) else ((item,), {})
