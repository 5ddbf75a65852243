"""Secret arguments of a task stand in no line of the log that tells of it, in whatever format.

What is secret is what the journal does not keep (``HISTORY_REDACT``, ``sensitive=``): an error's
text and a traceback may have it, and so may a line of the task's own.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Any

from durable.journal import redaction

#: Where Celery writes a message out: one that it can't read or whose task it doesn't know, and, at
#: the level DEBUG, each that it hands to its pool.
_WRITTEN_OUT = re.compile(r"The full contents of the message| headers:|^body: | \(args:", re.M)

_traceback = logging.Formatter().formatException


def install() -> None:
    """Clean each record from here on, before any handler has it."""
    make = logging.getLogRecordFactory()

    def clean(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        with suppress(Exception):  # the handlers say what is wrong with it
            _clean(record)
        return record

    logging.setLogRecordFactory(clean)


def _clean(record: logging.LogRecord) -> None:
    if not record.msg:  # a copy, which is given its own later
        return
    if record.name.startswith(("celery.worker", "celery.pool")):
        cut = _WRITTEN_OUT.split(text := record.getMessage(), maxsplit=1)[0]
        if cut != text:
            record.msg, record.args = cut.rstrip(), ()
    if found := redaction.here():
        if isinstance(said := record.msg, dict):  # structlog's
            record.msg = {
                name: found.clean(one) if isinstance(one, str) else one
                for name, one in said.items()
            }
        else:
            record.msg, record.args = found.clean(record.getMessage()), ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = found.clean(_traceback(record.exc_info))
