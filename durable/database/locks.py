"""PostgreSQL's advisory locks that this project takes, and who holds them.

A lock of a session ends with its process, however that ends. Releases that run side by side must
agree on the numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Lock(NamedTuple):
    """A lock's name: two numbers, for one database."""

    space: int
    number: int


#: One migration at a time ("migr" in ASCII).
MIGRATION = Lock(0x6D696772, 1)
#: One beat leads ("beat").
LEADER = Lock(0x62656174, 1)

# Locks of a transaction, each by one number.
#: One process at a time looks after rows that no worker ends ("jani"), counts the places of keys
#: ("plac"), discards rows: their tasks may be parts of the same chords ("disc"), sums up the
#: minutes ("minu"), and looks at the alerts ("aler").
JANITOR, PLACES, DISCARD = 0x6A616E69, 0x706C6163, 0x64697363
MINUTES, ALERTS = 0x6D696E75, 0x616C6572


class Holder(NamedTuple):
    """The session that holds a lock."""

    pid: int
    name: str
    address: str
    #: It is the one that asks.
    is_this: bool


_HOLDER = """SELECT pid, COALESCE(application_name, ''),
      COALESCE(client_addr::text, 'this machine'), pid = pg_backend_pid()
    FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
      AND classid::int8 = %s AND objid::int8 = %s
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def take(cursor: Any, lock: Lock) -> bool:
    """Take *lock* for the session of *cursor* (psycopg's or Django's); return whether it was free.

    The session that has it already gets it once more.
    """
    cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", lock)
    return bool(cursor.fetchone()[0])


def holder(cursor: Any, lock: Lock) -> Holder | None:
    """Return who holds *lock*; one statement, which reads memory alone."""
    cursor.execute(_HOLDER, lock)
    row = cursor.fetchone()
    return Holder(*row) if row else None
