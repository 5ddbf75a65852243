"""The entry of a task that ends, written by the statement that deletes its row.

So there is an entry for each end that was committed, and for no other; it costs no round trip.
"""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

import os
import resource
import traceback as tracebacks
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from celery import current_app, states
from celery.utils.nodenames import gethostname
from django.conf import settings
from kombu.utils.json import dumps

from durable.database.statement import compact
from durable.database.text import storable, text_of

from . import conf
from .redaction import Redacted, redact

#: The state of a task that a person has ended. The others are Celery's.
DISCARDED = "DISCARDED"
#: The states of those that have failed.
FAILED = (states.FAILURE, states.REJECTED)


class End(NamedTuple):
    """How a task has ended; the names are those of the columns."""

    state: str
    result: str | None = None
    error: str | None = None
    place: str | None = None
    traceback: str | None = None
    #: The message's body without what must not be kept; ``None``: the row's own.
    redacted: str | None = None


def success(task: str, result: Any, encoded: str | None, *call: Any) -> End | None:
    """Return the end of a task that has succeeded; ``None`` if there is no journal.

    Nor is there an entry for a task that is declared with ``journal=False``; its failures have one.

    :param encoded: the result as it is stored; ``None`` of one that is not.
    :param call: its arguments, named arguments, and what hangs on it (``body()``).
    """
    declared = current_app.tasks.get(task)
    if not conf.days() or not getattr(declared, "journal", True):
        return None
    found = redact(task, *call)
    if encoded is not None:
        parts = isinstance(result, (Mapping, list, tuple))
        hidden = redact("", [], {"": result}) if parts else None
        encoded = dumps(hidden.kwargs[""]) if hidden else encoded
        encoded = storable((found.clean(encoded) if found else encoded)[: conf.LONGEST_RESULT])
    return End(states.SUCCESS, encoded, redacted=_body(found))


def failure(task: str, state: str, why: Any, *call: Any) -> End | None:
    """Return the end of a task that has not; ``None`` if there is no journal.

    :param why: its exception, or a sentence.
    """
    if not conf.days():
        return None
    found = redact(task, *call)
    error = place = trace = None
    if isinstance(why, BaseException):
        error = type(why).__qualname__
        if frames := tracebacks.extract_tb(why.__traceback__):
            place = _place(frames)
            trace = "".join(tracebacks.format_exception(why))
        why = f"{error}: {text_of(why)}"
    clean = found.clean if found else str
    return End(
        state,
        storable(clean(str(why))[: conf.LONGEST_RESULT]) if why else None,
        error and storable(error),
        place and storable(place),
        trace and storable(clean(trace)[-conf.LONGEST_TRACEBACK :]),
        _body(found),
    )


def _place(frames: tracebacks.StackSummary) -> str:
    """Return where it was raised: of the project's own code the last line, if there is one."""
    base = f"{getattr(settings, 'BASE_DIR', Path.cwd())}{os.sep}"
    own = [
        frame for frame in frames
        if frame.filename.startswith(base) and f"{os.sep}durable{os.sep}" not in frame.filename
        and "site-packages" not in frame.filename
    ]  # fmt: skip
    frame = (own or frames)[-1]
    return f"{frame.filename.removeprefix(base)}:{frame.lineno} {frame.name}"


def _body(found: Redacted | None) -> str | None:
    return None if found is None else str(dumps([found.args, found.kwargs, found.embed]))


# --- The statement -------------------------------------------------------------------------------

#: The part of the table for the day on which a statement runs.
SLOT = f"(extract(epoch FROM statement_timestamp())::int8 / 86400 %% {conf.SLOTS})::int2"

#: Of the row that is deleted, as the query ``mine`` returns it.
COLUMNS = (
    "id", "task_id", "task", "queue", "priority", "created_at", "due_at", "started_at", "attempt",
    "history", "headers", "body",
)  # fmt: skip

_INTO = """INSERT INTO durable_journal (slot, ended_at, id, task_id, task, queue, priority,
    called_at, due_at, started_at, attempt, history, headers, body, redacted, state, result, error,
    place, traceback, host, version, memory)"""

#: Celery's headers have the arguments once more, as text. Not by ``jsonb``: it refuses characters
#: that an argument may have (NUL, half of a surrogate pair), and the task could never end.
_HEADERS = r"""CASE WHEN {0}redacted IS NULL THEN headers ELSE regexp_replace(
    headers, '"((?:kw)?argsrepr)": "(?:[^"\\]|\\.)*"', '"\1": null', 'g') END"""

_SELECT = f"""SELECT {SLOT}, statement_timestamp(), mine.id, task_id, task, queue, priority,
    created_at, due_at, started_at, attempt, nullif(history, '[]'), {{headers}},
    CASE WHEN octet_length(body) <= {conf.LARGEST_BODY} THEN coalesce({{0}}redacted, body) END,
    {{0}}redacted IS NOT NULL, {{0}}state, {{0}}result, {{0}}error, {{0}}place, {{0}}traceback,
    %(j_host)s::text, %(j_version)s::text, %(j_memory)s::int4 FROM mine"""

_NAMES = End._fields


@cache
def _one() -> str:
    given = ", ".join(f"%(j_{name})s::text AS {name}" for name in _NAMES)
    select = _SELECT.replace("{headers}", _HEADERS).replace("{0}", "given.")
    return f", journal AS ({_INTO} {select}, LATERAL (SELECT {given}) AS given)"


@cache
def _many(varying: tuple[str, ...]) -> str:
    arrays = "".join(f", %(j_{name})b::text[]" for name in varying)
    same = "".join(f", %(j_{name})s::text AS {name}" for name in _NAMES if name not in varying)
    select = _SELECT.replace("{headers}", _HEADERS).replace("{0}", "given.")
    return (
        f", journal AS ({_INTO} {select} JOIN (SELECT *{same}"
        f" FROM unnest(%(j_ids)s::int8[]{arrays}) AS one({', '.join(('of_id', *varying))})"
        ") AS given ON given.of_id = mine.id)"
    )


def part_of_one(end: End | None) -> tuple[str, dict[str, Any]]:
    """Return what writes the entry, as a query of the statement whose query ``mine`` deletes."""
    if end is None:
        return "", {}
    return _one(), {**{f"j_{name}": getattr(end, name) for name in _NAMES}, **_process()}


def part_of_many(ends: Sequence[tuple[int, End | None]]) -> tuple[str, dict[str, Any]]:
    """Return what writes the entries of many rows, each with its id."""
    found = [(row_id, end) for row_id, end in ends if end is not None]
    if not found:
        return "", {}
    columns = {name: [getattr(end, name) for _, end in found] for name in _NAMES}
    values, varying = compact(columns)
    given = {f"j_{name}": value for name, value in values.items()}
    return _many(varying), {"j_ids": [row_id for row_id, _ in found], **given, **_process()}


def returning(sql: str) -> str:
    """Return the columns that ``mine`` must return for the part *sql* of the statement."""
    return ", ".join(f"task.{name}" for name in COLUMNS) if sql else "task.id"


def _process() -> dict[str, Any]:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"j_host": _host(), "j_version": version(), "j_memory": memory}


@cache
def _host() -> str:
    return str(gethostname())


def version() -> str:
    """Return the version of the project that runs here (``APP_VERSION``)."""
    return str(getattr(settings, "APP_VERSION", ""))
