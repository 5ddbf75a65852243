"""The log lines of each attempt, kept beside its entry: the last ``HISTORY_LOG_KB`` of them.

A handler of the root logger collects them in memory while the task runs. They are written once its
attempt has ended, in whatever way, by a statement of their own, many at once in a batch; an attempt
that logs nothing costs nothing. Those of a process that is killed are in the log alone.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from contextvars import ContextVar
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections, transaction

from durable.database.text import storable

from . import conf
from .entry import SLOT
from .redaction import redact

logger = logging.getLogger(__name__)

#: Celery's own lines of a task say what the entry says.
CELERYS = "celery.app.trace"
CUT = "… (earlier lines are in the log)\n"


class Lines:
    """The last lines of an attempt, within a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._size, self._cut = most, 0, False
        self._lines: deque[str] = deque()
        self.before = _collects.get()

    def add(self, line: str) -> None:
        """Add a line; drop the oldest ones that have no more room."""
        line = line[-self._most :]
        self._lines.append(line)
        self._size += len(line.encode(errors="replace")) + 1
        while self._size > self._most and len(self._lines) > 1:
            self._size -= len(self._lines.popleft().encode(errors="replace")) + 1
            self._cut = True

    @property
    def text(self) -> str:
        """The lines, each with its end."""
        return (CUT if self._cut else "") + "".join(f"{line}\n" for line in self._lines)

    def __bool__(self) -> bool:
        return bool(self._lines)


_collects: ContextVar[Lines | None] = ContextVar("durable_journal_lines", default=None)
_ended: deque[tuple[int, int, str]] = deque()


class _Handler(logging.Handler):
    """Gives each record to the attempt that runs where it is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        found = _collects.get()
        if found is None or record.name == CELERYS:
            return
        try:
            found.add(self.format(record))
        except Exception:
            self.handleError(record)


_HANDLER = _Handler()
_FORMATTER = logging.Formatter(
    "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s", "%H:%M:%S"
)
_FORMATTER.converter = time.gmtime
_HANDLER.setFormatter(_FORMATTER)


def collect() -> Lines | None:
    """Begin to collect the lines of this thread's attempt; ``None``: they are not kept."""
    most = 1024 * int(conf.get("LOG_KB"))
    if not most or not conf.days():
        return None
    if _HANDLER not in logging.root.handlers:  # Celery replaces all when it sets up its log
        logging.root.addHandler(_HANDLER)
    found = Lines(most)
    _collects.set(found)
    return found


def end(found: Lines) -> bool:
    """Collect no more lines; return whether there are any."""
    _collects.set(found.before)
    return bool(found)


def keep(found: Lines, row_id: int, attempt: int, task: str, *call: Any) -> None:
    """Write the lines of an attempt that has ended; inside of a transaction, after its commit.

    :param call: its arguments, which decide what the lines must not hold (``redaction.py``).
    """
    hidden = redact(task, *call)
    text = hidden.clean(found.text) if hidden else found.text
    _ended.append((row_id, attempt, storable(text)))
    if connections[conf.alias()].in_atomic_block:
        transaction.on_commit(_write, using=conf.alias(), robust=True)
    else:
        _write()


_INSERT = f"""INSERT INTO durable_log (slot, row_id, attempt, lines)
    SELECT {SLOT}, given.* FROM unnest(%(ids)s::int8[], %(attempts)s::int4[], %(lines)s::text[])
        AS given, (SELECT set_config('synchronous_commit', 'off', true)) AS no_wait"""  # noqa: S608


def _write() -> None:
    rows = []
    while _ended:
        rows.append(_ended.popleft())
    if not rows:
        return
    ids, attempts, texts = map(list, zip(*rows, strict=True))
    connection = connections[conf.alias()]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, {"ids": ids, "attempts": attempts, "lines": texts})
    except DatabaseError as error:  # the task has ended, and must not fail by this
        logger.warning("the log lines of %d attempts could not be kept: %s", len(rows), error)
        connection.close_if_unusable_or_obsolete()


def of(row_id: int) -> list[tuple[int, str]]:
    """Return the attempts of a row that have left lines, each with these."""
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(
            "SELECT attempt, lines FROM durable_log WHERE row_id = %s ORDER BY attempt LIMIT 50",
            [row_id],
        )
        return [(attempt, text) for attempt, text in cursor.fetchall()]
