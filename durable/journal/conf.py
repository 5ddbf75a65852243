"""The settings of this app: ``HISTORY_<NAME>`` in the environment and in Django's settings."""

from __future__ import annotations

from datetime import datetime

from django.db import router

from durable.environment.declared import Declared, Setting

HISTORY = Declared(
    "HISTORY",
    # Days that an ended task can be looked at and started again. 0 keeps no journal at all.
    DAYS=Setting(7),
    # KiB of an attempt's last log lines that are kept with it. 0 keeps none.
    LOG_KB=Setting(64),
    # Arguments of these names are not kept, nor is a task with one started again.
    REDACT=Setting(
        (
            *("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey"),
            *("private_key", "authorization", "cookie", "card", "card_number", "cvc", "cvv"),
            *("iban", "ssn"),
        )
    ),
)

get = HISTORY.get

#: Parts of the table, one for each day in turn: a day is dropped by emptying its part.
SLOTS = 32
#: The most days that fit, beside today, the one that begins for a clock that is ahead, and the one
#: that is emptied.
MOST_DAYS = SLOTS - 3

#: Bytes of arguments beyond which an entry has none, and characters of a result, an error and a
#: traceback (of that its end, where the error is).
LARGEST_BODY, LONGEST_RESULT, LONGEST_TRACEBACK = 65_536, 1_000, 8_000

#: Days that the counts of each minute are kept.
MINUTES_DAYS = 14


def days() -> int:
    """Return how many days an entry is kept; 0 if none is written."""
    return min(int(get("DAYS")), MOST_DAYS)


def slots(since: datetime, until: datetime) -> list[int]:
    """Return the parts of the table that may hold what ended in that time.

    A query that names them plans for these alone; one day more is for clocks that differ.
    """
    first, last = (int(at.timestamp()) // 86_400 for at in (since, until))
    return [day % SLOTS for day in range(first, min(last + 2, first + SLOTS))]


def alias() -> str:
    """Return the alias of the database that holds the journal: that of the rows."""
    from .models import Entry

    return router.db_for_write(Entry)
