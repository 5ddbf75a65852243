"""The caller's side: a call becomes a row in the caller's transaction, sent once that commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery.exceptions import Ignore
from celery.result import AsyncResult
from celery.utils import uuid
from celery.utils.functional import maybe_list
from django.db import connections, transaction
from django.utils import timezone

from . import conf, eager, fastpath, store
from .options import KEPT, as_json, queue_of, refuse_unfit, refuse_unknown, times_of

_durable: ContextVar[bool] = ContextVar("outbox_durable", default=False)


def is_durable() -> bool:
    """Tell whether ``apply_async()`` writes rows at the moment."""
    return _durable.get()


@contextmanager
def durable() -> Iterator[None]:
    """Make every ``delay()`` and ``apply_async()`` inside write a row instead of a message.

    For groups, chains and chords, which call their tasks themselves::

        with durable():
            chain(fetch.s(url), parse.s()).delay()

    It is a transaction, unless it stands in one: a canvas writes several rows, and a chord its
    counter, of which one without the others would never end. So nothing inside is sent before the
    end of the block. In a task, ``self.finishing()`` goes around it and not inside.
    """
    with _whole(), as_rows():
        yield


@contextmanager
def as_rows() -> Iterator[None]:
    """Let ``apply_async()`` write rows, in whatever transaction there is."""
    token = _durable.set(True)
    try:
        yield
    finally:
        _durable.reset(token)


@contextmanager
def _whole() -> Iterator[None]:
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


@contextmanager
def plain() -> Iterator[None]:
    """Let ``apply_async()`` be Celery's own again."""
    token = _durable.set(False)
    try:
        yield
    finally:
        _durable.reset(token)


def prepare(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the row for a call of *task*, after the checks that Celery makes too.

    :raises TypeError: arguments that the task doesn't take, or an option that can't be kept.
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
    if headers := options.get("headers"):
        options["headers"] = {k: v for k, v in headers.items() if k != conf.HEADER}
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
    eta, expires = times_of(task.name, options)
    kept = {name: value for name, value in {**options, **routed}.items()
            if name in KEPT or name in options.get("stamped_headers", ())}  # fmt: skip
    for name in {"link", "link_error"} & kept.keys():
        kept[name] = maybe_list(kept[name])
    if expires:
        kept["expires"] = expires.isoformat()
    values = {
        "task_id": options.get("task_id") or uuid(),
        "task": task.name,
        "queue": queue,
        "priority": kept.get("priority") or 0,
        "body": as_json(task.name, args, kwargs, kept),
        "expires": expires,
        "due_at": eta if eta and eta > timezone.now() else None,
    }
    refuse_unfit(values)
    return values


def refuse_chord(task: Any, ignores_result: bool) -> None:
    """A chord counts its parts in the result backend; that must share the rows' transaction."""
    from .results import is_transactional

    if ignores_result:
        raise TypeError(
            f"{task.name}: a chord's body gets the results of its header, and this task of the "
            "header has ignore_result=True; leave that out, or call it with "
            ".set(ignore_result=False)"
        )
    if not is_transactional(task.backend):
        raise TypeError(
            f"{task.name}: a chord on commit needs the default CELERY_RESULT_BACKEND or django-db, "
            "where its parts are counted in the transaction that finishes each; call it without "
            "the outbox, or use one of them"
        )


def enqueue(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Write the row of a call; return the ``AsyncResult`` of the task, whose id it has from now."""
    app = task._get_app()
    values = prepare(task, args, kwargs, options)
    here = bool(app.conf.task_always_eager)
    if here:  # Celery's eager mode waits for no time either
        values["due_at"] = None
    at_once = values["due_at"] is None and (here or not fastpath.breaker.is_open)
    row = store.insert({**values, "sends": int(at_once), "due_in": conf.LEASE if at_once else 0})
    result = task.AsyncResult(row.task_id)
    result.ignored = bool(options.get("ignore_result"))  # as send_task() does: get() is None then
    if at_once:
        on_commit(row, result if here else None)
    if options.get("add_to_parent", True) and (parent := app.current_worker_task):
        parent.add_trail(result)
    return result


def on_commit(row: store.Row, result: AsyncResult | None) -> None:
    """Add *row* to what the transaction publishes when it commits: one batch, one callback.

    :param result: the result of a task that is to be run instead of published.
    """
    connection = connections[conf.alias()]
    savepoints = set(connection.savepoint_ids)
    if not in_testcase(connection):
        for callback in (entry[1] for entry in reversed(connection.run_on_commit)):
            # A batch that is still here is dropped only together with this row's transaction or
            # savepoint: whatever encloses the one, encloses the other.
            if isinstance(callback, Batch):
                callback.add(row, savepoints, result)
                return
    # robust: whatever goes wrong while publishing, the request has been committed.
    transaction.on_commit(Batch(row, savepoints, result), using=conf.alias(), robust=result is None)


def in_testcase(connection: Any) -> bool:
    """Tell whether Django's ``TestCase`` has begun the transaction.

    It never commits, and ``captureOnCommitCallbacks()`` runs those of one block without taking them
    from the list: what was added to one of them later would not be run, nor captured.
    """
    return any(block._from_testcase for block in connection.atomic_blocks)


class Batch:
    """The rows of one transaction, published together after it."""

    def __init__(
        self, row: store.Row, savepoints: set[str], result: AsyncResult | None = None
    ) -> None:
        self.rows: list[store.Row] = []
        self.eager: dict[int, AsyncResult] = {}
        self.savepoints = savepoints
        self.partial = False
        self.add(row, savepoints, result)

    def add(self, row: store.Row, savepoints: set[str], result: AsyncResult | None = None) -> None:
        """Add *row*; one from another savepoint may have been rolled back at the end."""
        self.rows.append(row)
        self.partial = self.partial or savepoints != self.savepoints
        if result is not None:
            self.eager[row.id] = result

    def __call__(self) -> None:
        if self.partial:
            left = store.existing([row.id for row in self.rows])
            self.rows = [row for row in self.rows if row.id in left]
        if self.eager:
            with plain():  # the call is over; what its task calls is for the task to say
                for row in self.rows:
                    eager.run(row, self.eager[row.id])
        elif self.rows:
            fastpath.publish(self.rows)
