"""The row of a call: checked, routed and dumped as Celery would a message.

What is the same for all calls of a task with the same options is made once, by Celery's own
``as_task_v2()``; the id, the arguments and how they are shown differ in each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from celery import Task as CelerysTask
from celery.app.routes import MapRoute
from celery.app.task import extract_exec_options
from celery.utils import uuid
from celery.utils.functional import maybe_list
from celery.utils.saferepr import saferepr
from django.utils import timezone
from kombu.utils.json import JSONEncoder, loads

from .. import conf, limits
from ..results import is_transactional
from .options import MESSAGE, PROPERTIES, as_json, queue_of, refuse_unfit, refuse_unknown, times_of

_dumps = JSONEncoder().encode

#: Stand in the headers for what differs, and in no caller's text: this process has made them up.
_ID, _ARGS, _KWARGS, _LIMIT = (
    f"{name}:{uuid4().hex}" for name in ("id", "args", "kwargs", "limit")
)
_MARKS = re.compile(f'"({_ID}|{_ARGS}|{_KWARGS}|{_LIMIT})"')
#: Their repr() is what Celery shows of them, and quicker.
_PLAIN = frozenset({int, float, bool, type(None)})


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
    place: limits.Place | None = None


def prepare(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Call:
    """Return the row for a call of *task*, after the checks that Celery makes too.

    :raises TypeError: arguments that the task doesn't take, or an option that can't be kept.
    :raises ValueError: a value that the row can't hold.
    """
    args, kwargs = checked(task, args, kwargs)
    return Template(task, args, kwargs, options).call(args, kwargs)


def checked(task: Any, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call.

    :raises TypeError: the task doesn't take them.
    """
    args, kwargs = args or (), kwargs or {}
    if not isinstance(args, (list, tuple)):
        raise TypeError(f"{task.name}: task args must be a list or tuple")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"{task.name}: task keyword arguments must be a mapping")
    args, kwargs = tuple(args), dict(kwargs)
    if task.typing and (check_arguments := getattr(task, "__header__", None)):
        check_arguments(*args, **kwargs)
    return args, kwargs


def is_shared(task: Any, options: dict[str, Any]) -> bool:
    """Return whether the arguments of a call of *task* decide nothing about the rest of its row.

    They may: a route that is a function, a ``shadow_name()`` of the task's own.
    """
    shown = options.get("shadow") or type(task).shadow_name is CelerysTask.shadow_name
    return bool(shown) and all(type(route) is MapRoute for route in task.app.amqp.router.routes)


class Template:
    """The row of each call of a task with the same options.

    :param args, kwargs: of one of the calls, for what goes by them (``is_shared()``).
    """

    def __init__(self, task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> None:
        self._task = task
        options["shadow"] = options.get("shadow") or task.shadow_name(args, kwargs, options)
        options.setdefault("ignore_result", task.ignore_result)
        options = {**extract_exec_options(task), **options}
        options = {name: value for name, value in options.items() if value is not None}
        refuse_unknown(task.name, options)
        if options.get("chord"):
            refuse_chord(task, bool(options.get("ignore_result")))

        app = task.app
        name = options.get("route_name") or task.name
        routed = app.amqp.router.route(dict(options), name, *self._dumped(args, kwargs), task)
        queue = queue_of(app, task.name, routed)
        if parent := app.current_worker_task:
            request = parent.request
            if app.conf.task_inherit_parent_priority and (
                not {"root_id", "parent_id"} <= options.keys()
            ):
                routed.setdefault("priority", (request.delivery_info or {}).get("priority"))
            options.setdefault("root_id", request.root_id or request.id)
            options.setdefault("parent_id", request.id)
        due_at, expires = times_of(task.name, options)
        stamps = set(options.get("stamped_headers") or ())
        kept = {name: value for name, value in {**routed, **options}.items()
                if name in MESSAGE or name in stamps}  # fmt: skip
        self._maxlevels = app.conf.task_repr_maxlevels
        message = app.amqp.as_task_v2(
            _ID, task.name, expires=expires,
            callbacks=maybe_list(options.get("link")),
            errbacks=maybe_list(options.get("link_error")),
            **{"argsrepr": _ARGS, "kwargsrepr": _KWARGS, **kept},
        )  # fmt: skip
        headers = {**message.headers, **(options.get("headers") or {})}
        for name in (conf.HEADER, conf.MESSAGE, conf.LIMIT):
            headers.pop(name, None)
        if said := _said(options, due_at):
            headers[conf.MESSAGE] = said
        self._limit = limits.of(task, queue, options)
        if self._limit:
            headers[conf.LIMIT] = _LIMIT
        if reply_to := options.get("reply_to") or _reply_to(app):
            headers["reply_to"] = reply_to
        self._options = {f"{name}=": value for name, value in options.items()}
        #: Text, mark, text, mark, …, text.
        self._headers = _MARKS.split(as_json(task.name, self._options, headers))
        self._embed = as_json(task.name, self._options, message.body[2])
        self._task_id = options.get("task_id")
        self._call = Call(
            str(self._task_id or ""), task.name, queue, routed.get("priority") or 0, "", "",
            expires, due_at if due_at and due_at > timezone.now() else None,
        )  # fmt: skip
        refuse_unfit(self._call._asdict())

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the row of one call.

        :param args, kwargs: as ``checked()`` returns them.
        :raises TypeError: JSON can't hold them, or no worker could read them.
        """
        args, kwargs = self._dumped(args, kwargs)
        task_id = str(self._task_id or uuid())
        try:
            given = _dumps([args, kwargs])
        except (TypeError, ValueError, RecursionError):
            parts = {f"argument {number}": value for number, value in enumerate(args, 1)}
            parts |= {f"{name}=": value for name, value in kwargs.items()} | self._options
            given = as_json(self._task.name, parts, [args, kwargs])  # it says which
        refuse_unreadable(self._task.name, given)
        amqp = self._task.app.amqp
        place = None
        if self._limit:
            limit, name = self._limit
            place = limit.place(name, args, kwargs)
        shown: dict[str, Callable[[], Any]] = {
            _ID: lambda: task_id,
            _LIMIT: lambda: place,
            _ARGS: lambda: _shown(args, args, amqp.argsrepr_maxsize, self._maxlevels),
            _KWARGS: lambda: _shown(
                kwargs, kwargs.values(), amqp.kwargsrepr_maxsize, self._maxlevels
            ),
        }  # fmt: skip
        headers = [_dumps(shown[part]()) if part in shown else part for part in self._headers]
        return self._call._replace(
            task_id=task_id,
            headers="".join(headers),
            body=f"{given[:-1]}, {self._embed}]",
            place=place,
        )

    def _dumped(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        dump: Callable[..., tuple[Any, Any]] | None = self._task._dump_pydantic_arguments
        return dump(args, kwargs) if dump is not None else (args, kwargs)


def _shown(value: Any, items: Any, most: int, levels: int) -> str:
    """Return how Celery shows arguments."""
    if all(type(item) in _PLAIN for item in items):
        text = repr(value)
        if len(text) <= most:
            return text
    return str(saferepr(value, most, maxlevels=levels))


def refuse_unreadable(task: str, body: str) -> None:
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


def _said(options: dict[str, Any], due_at: datetime | None) -> dict[str, Any]:
    """Return what a message would say beside its headers; a row has waited for its time."""
    said: dict[str, Any] = {"eta": due_at.isoformat()} if due_at else {}
    if properties := {name: options[name] for name in PROPERTIES if name in options}:
        said["properties"] = properties
    return said


def _reply_to(app: Any) -> str | None:
    """Return the queue of this thread's replies, if the results go there (``rpc://``)."""
    return str(app.thread_oid) if app.conf.result_backend == "rpc://" else None


def refuse_chord(task: Any, ignores_result: bool) -> None:
    """A chord counts its parts in the result backend; that must share the rows' transaction.

    :raises TypeError: it doesn't, or a part has no result.
    """
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
