"""Every Celery setting from the environment as ``CELERY_<OPTION>``, with the type Celery gives it.

Celery knows its own options and their types (``celery.app.defaults``), so there is no list to
keep here; a new option of a new Celery can be set by its name on the day it is installed.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import entry_points as installed
from importlib.util import find_spec
from typing import Any

from celery.app import backends
from celery.app.defaults import NAMESPACES, Option, flatten
from kombu.transport import TRANSPORT_ALIASES

from . import addresses
from .reader import LIST, ConfigurationError, Reader, parse_bool, refused, split_names
from .time_zones import A_TIME_ZONE, time_zone

PREFIX = "CELERY_"

#: Variables that Celery reads from the environment itself and that are no option: its loader,
#: its debugger, what the worker hands to its children (grep for ``os.environ`` in celery/).
#: DB_REUSE_MAX is a setting of its Django fixup that ``celery.app.defaults`` doesn't list.
CELERYS_OWN = frozenset(
    {
        "CELERY_BENCH",
        "CELERY_BENCH_EVERY",
        "CELERY_CONFIG_MODULE",
        "CELERY_CUSTOM_WORKER_POOL",
        "CELERY_LOADER",
        "CELERY_LOG_FILE",
        "CELERY_LOG_LEVEL",
        "CELERY_LOG_REDIRECT",
        "CELERY_LOG_REDIRECT_LEVEL",
        "CELERY_RDB_HOST",
        "CELERY_RDB_PORT",
        "CELERY_RDBSIG",
        "CELERY_SKIP_CHECKS",
        "CELERY_TRACE_APP",
    }
)
EXTRA = {"DB_REUSE_MAX": Option(None, type="int")}


def options() -> dict[str, Any]:
    """Return every option by its environment name, without the prefix: ``{"TIMEZONE": Option}``."""
    return {key.upper(): option for key, option in flatten(NAMESPACES)} | EXTRA


def _json(kind: type) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        parsed = json.loads(value)
        if not isinstance(parsed, kind):
            raise ValueError(value)
        return parsed

    return parse


def _list(value: str) -> list[Any]:
    return _json(list)(value) if value.lstrip().startswith("[") else split_names(value)


def _any(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _number(value: str) -> float:
    number = float(value)
    if number != number or number < 0:
        raise ValueError(value)
    return number


#: How each of Celery's type names is read, and what an error says would be right.
PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "string": (str, "a text"),
    "bytes": (str.encode, "a text"),
    "int": (int, "a whole number"),
    "float": (_number, "a number, 0 or more"),
    "bool": (parse_bool, "true or false"),
    "dict": (_json(dict), 'a JSON object, e.g. {"key": 1}'),
    "list": (_list, f"a JSON array or {LIST}"),
    "tuple": (lambda value: tuple(_list(value)), f"a JSON array or {LIST}"),
    "any": (_any, "a text or JSON"),
}


def _scheme(known: Iterable[str]) -> Callable[[str], str]:
    """Accept URLs whose transport Celery knows, or that name a class (``my.transport:Class://``)."""
    names = frozenset(known)

    def parse(value: str) -> str:
        # Several nodes stand behind each other: sentinel://a:26379;b:26379/0
        for url in filter(lambda part: "://" in part, (value + ";").split(";")):
            scheme = url.partition("://")[0]
            if scheme not in names and scheme.split("+")[0] not in names and ":" not in scheme:
                raise ValueError(value)
            addresses.url(url)
        if "://" not in value.split(";")[0]:
            raise ValueError(value)
        return value

    return parse


def _check_class(name: str, aliases: Iterable[str], entry_points: str) -> None:
    """Accept one of *aliases*, a name among *entry_points*, or the dotted path of a class.

    None is imported: those of django-celery-results and -beat have models, which can't be before
    the settings are.
    """
    if name in {*aliases, *installed(group=entry_points).names}:
        return
    module = name.replace(":", ".").rpartition(".")[0]
    try:
        found = module and find_spec(module)
    except ImportError:
        found = None
    if not found:
        raise ValueError(name)


def _backend(value: str) -> str:
    for url in value.split(";"):
        addresses.url(url)
    name = value.partition("://")[0].partition("+")[0]
    _check_class(name, backends.BACKEND_ALIASES, "celery.result_backends")
    return value


def _scheduler(value: str) -> str:
    _check_class(value, (), "celery.beat_schedulers")
    return value


def _concurrency(value: str) -> int | str:
    if value == "auto":
        return value
    number = int(value)
    if number < 1:
        raise ValueError(value)
    return number


def _or_path(*kinds: type) -> Callable[[str], Any]:
    """Accept JSON of one of *kinds*, or the dotted path of an object in a module that exists."""

    def parse(value: str) -> Any:
        try:
            parsed = json.loads(value)
        except ValueError:
            _check_class(value, (), "")
            return value
        if not isinstance(parsed, kinds):
            raise ValueError(value)
        return parsed

    return parse


_BROKER = (
    _scheme(TRANSPORT_ALIASES),
    "a URL such as redis://, rediss://, sentinel:// or amqp://USER:PASSWORD@HOST:PORT/PATH "
    f"({addresses.ESCAPES})",
)

#: Where Celery's type says less than Celery needs.
SPECIAL: dict[str, tuple[Callable[[str], Any], str]] = {
    "TIMEZONE": (time_zone, A_TIME_ZONE),
    "BROKER_URL": _BROKER,
    "BROKER_READ_URL": _BROKER,
    "BROKER_WRITE_URL": _BROKER,
    "RESULT_BACKEND": (
        _backend,
        f"django-db, django-cache, or a URL that Celery knows ({addresses.ESCAPES})",
    ),
    "BEAT_SCHEDULER": (_scheduler, "the path of a class, package.module:Class"),
    # Celery itself takes any text for these, and fails at the first task.
    "TASK_ROUTES": (
        _or_path(dict, list),
        'a JSON object, e.g. {"app.tasks.*": {"queue": "mail"}}, or the path of a router',
    ),
    "TASK_ANNOTATIONS": (_or_path(dict, list), "a JSON object, or the path of one"),
    "WORKER_CONCURRENCY": (_concurrency, "a whole number, 1 or more, or auto"),
}


@cache
def _command_line_names() -> frozenset[str]:
    """Return the variables that the ``celery`` command reads for its own options.

    Its click group has ``auto_envvar_prefix="CELERY"``: ``CELERY_WORKER_QUEUES`` is
    ``celery worker --queues``. Read from the commands, so it can't go stale.
    """
    from celery.bin.celery import celery as group

    names = {f"{PREFIX}{param.name}".upper() for param in group.params if param.name}
    for command, body in group.commands.items():
        names |= {f"{PREFIX}{command}_{p.name}".upper() for p in body.params if p.name}
    return frozenset(names)


def _refuse_unknown(name: str, known: Iterable[str]) -> None:
    if name in CELERYS_OWN or name in _command_line_names():
        return
    # Without the prefix: it alone would make any two names alike.
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    hint = (
        f"did you mean {PREFIX}{close[0]}?" if close else "it must be one of Celery's own settings"
    )
    raise ConfigurationError(f"{name}: Celery has no such setting; {hint}")


def celery_settings(reader: Reader) -> dict[str, Any]:
    """Return the ``CELERY_*`` settings that the environment holds, parsed.

    :raises ConfigurationError: a name that Celery doesn't know, or a value of the wrong type.
    """
    known = options()
    found: dict[str, Any] = {}
    for variable, text in sorted(reader.env.items()):
        if not variable.startswith(PREFIX) or not text:
            continue
        key = variable.removeprefix(PREFIX)
        if key not in known and key.removesuffix("_FILE") in known:
            key = key.removesuffix("_FILE")
        if key not in known:
            _refuse_unknown(variable, known)
            continue
        option = known[key]
        kind = option.type if isinstance(option.type, str) else option.type.__name__
        parse, expected = SPECIAL.get(key) or PARSERS.get(kind) or PARSERS["string"]
        value = reader.raw(PREFIX + key)
        if value is None:
            continue
        try:
            found[PREFIX + key] = parse(value)
        except (ValueError, KeyError, OSError) as error:
            raise refused(PREFIX + key, value, expected, error) from error
    return found
