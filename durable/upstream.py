"""Every private name of upstream's that is used here, and every one that is replaced.

A minor release may change such a name without a word. So each is listed with its signature, and a
test compares them and finds those that are used and not listed. At another release a system check
warns (durable/checks/upstream.py), and what can do without its names does so: :func:`changed`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import version
from types import CodeType
from typing import Any, NamedTuple

#: The releases that the tests run with, the lock's first; each patch of them counts as tested.
TESTED = {
    "billiard": ("4.3",),
    "celery": ("5.7",),
    "django": ("5.2", "6.0"),
    "django-celery-beat": ("2.9",),
    "django-celery-results": ("2.6",),
    "kombu": ("5.7",),
    "psycopg": ("3.3",),
}

#: In place of a signature: it is no function, or one that an ``__init__()`` sets.
VALUE = ""


class Name(NamedTuple):
    """A name of upstream's, ``module:Class.name``, and the part of this package that needs it."""

    part: str
    path: str
    signature: str


def _listed(part: str, **modules: dict[str, str]) -> Iterator[Name]:
    for module, names in modules.items():
        for name, signature in names.items():
            yield Name(part, f"{module.replace('__', '.')}:{name}", signature)


def _names() -> Iterator[Name]:
    # A call as a row is merged, checked and dumped as apply_async() would a message, which has no
    # public function for it. A row then goes through the worker as a message does: it must not be
    # lost with the broker's connection, and be discarded only if no other worker has begun it.
    yield from _listed(
        "queue",
        celery__app__task={
            "Task.__header__": VALUE,
            "Task._dump_pydantic_arguments": VALUE,
        },
        celery__result={"EagerResult._cache": VALUE},
        celery__worker__request={
            "Request._already_cancelled": VALUE,
            "Request._already_revoked": VALUE,
            "Request._announce_revoked": "(self, reason, terminated, signum, expired)",
            "Request._context": VALUE,
        },
        celery__concurrency__base={"BasePool.flush": "(self)"},
        celery__worker__consumer={"Consumer.timer_entries_before_start": VALUE},
        # In a TestCase, on_commit() runs nothing of itself.
        django__db__transaction={"Atomic._from_testcase": VALUE},
    )
    # The stop of a worker on its event loop. Celery's own works in the signal handler, and waits
    # there for a thread that waits for it (celery#1770). Messages go back in front of what waits in
    # their queue (kombu#254). Without one of these names, the stop is Celery's own.
    yield from _listed(
        "stopping",
        celery__worker={
            "WorkController.terminate": "(self, in_sighandler=False)",
        },
        celery__worker__state={"should_terminate": VALUE},
        celery__worker__consumer={"Consumer._cancel_connection_timer_entries": "(self)"},
        celery__worker__request={
            "Request._already_cancelled": VALUE,
            "Request._apply_result": VALUE,
        },
        celery__concurrency__base={
            "BasePool._pool": VALUE,
            "BasePool.terminate_job": "(self, pid, signal=None)",
        },
        celery__concurrency__asynpool={
            "AsynPool._cache": VALUE,
            "AsynPool._event_process_exit": "(self, hub, proc)",
            "AsynPool._processes": VALUE,
            "AsynPool._stop_task_handler": "(task_handler)",
            "AsynPool._task_handler": VALUE,
        },
        concurrent__futures={
            "ThreadPoolExecutor._idle_semaphore": VALUE,
            "ThreadPoolExecutor._threads": VALUE,
        },
        threading={"Semaphore._value": VALUE},
    )
    # A consumer may be connected and take nothing (celery#8030, celery#10205). kombu knows when it
    # last asked Redis for messages; without that, a connected one counts as healthy.
    yield from _listed("health", kombu__transport__redis={"Channel._brpop_sent_at": VALUE})
    # Upstream writes the row back whole, and with it what a person has changed meanwhile
    # (django-celery-beat#1038). It has no function that says what an entry of the settings becomes.
    yield from _listed(
        "schedules",
        django_celery_beat__schedulers={
            "ModelEntry._disable": "(self, model)",
            "ModelEntry._unpack_fields": "(cls, schedule, args=None, kwargs=None, relative=None,"
            " options=None, **entry)",
        },
    )
    # An error says whether its database was lost by it; Django makes it where this returns. A pool
    # ends before a fork, and is asked whether it moves. A connection that has just answered need
    # not be asked again.
    yield from _listed(
        "database",
        django__db__utils={
            "DatabaseErrorWrapper.__exit__": "(self, exc_type, exc_value, traceback)"
        },
        django__db__backends__base__base={"BaseDatabaseWrapper.health_check_done": VALUE},
        django__db__backends__postgresql__base={"DatabaseWrapper._connection_pools": VALUE},
    )


NAMES = tuple(_names())


def untested() -> dict[str, str]:
    """Return what is installed in a release that was not tested, with its version."""
    found = {name: version(name) for name in TESTED if _is_installed(name)}
    return {n: v for n, v in found.items() if ".".join(v.split(".")[:2]) not in TESTED[n]}


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True


@cache
def changed(part: str) -> tuple[str, ...]:
    """Return what is gone or different of the names that *part* needs, a sentence for each.

    Of a module that can't be imported nothing is used: another broker, a part that isn't installed.
    """
    return tuple(text for name in NAMES if name.part == part for text in _difference(name))


def _difference(name: Name) -> Iterator[str]:
    path, _, qualified = name.path.partition(":")
    try:
        found: Any = import_module(path)
    except ImportError:
        return
    *classes, last = qualified.split(".")
    for each in classes:
        found = getattr(found, each, None)
    if not _has(found, last):
        yield f"{name.path} is gone"
    elif name.signature and (now := _signature(found, last)) != name.signature:
        yield f"{name.path}{name.signature} is {now} now"


def _has(owner: Any, name: str) -> bool:
    """Return whether *owner* has *name*, or is a class in which a method sets or asks for it."""
    if hasattr(owner, name):
        return True
    for each in getattr(owner, "__mro__", ()):
        for value in vars(each).values():
            code = getattr(inspect.unwrap(getattr(value, "__func__", value)), "__code__", None)
            if code and name in _names_in(code):
                return True
    return False


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from (text for text in code.co_consts if isinstance(text, str))  # getattr(job, "name")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names_in(inner)


def _signature(owner: Any, name: str) -> str:
    value = inspect.getattr_static(owner, name)
    try:
        return str(inspect.signature(getattr(value, "__func__", value)))
    except (TypeError, ValueError):
        return "no function"
