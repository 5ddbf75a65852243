"""Deletes old rows a few at a time.

One DELETE over a year's rows holds their locks, keeps vacuum away and fills the WAL for as long as
it takes. Here each batch is a transaction of its own of some milliseconds, it passes over rows that
somebody else has locked instead of waiting for them, and a run ends when its time is over: the next
one goes on.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import connection

BATCH = 1000  # rows
RUN = 60.0  # seconds


def delete_older(
    table: str, key: str, column: str, limit: Any, *, seconds: float = RUN, batch: int = BATCH
) -> int:
    """Delete the rows of *table* whose *column* is less than *limit*; return how many.

    :param key: the primary key.
    :param column: should have an index.
    :param seconds: after which no further batch begins; the first one always does.
    :param batch: rows in each transaction.
    """
    name = connection.ops.quote_name
    # ARRAY(...) makes PostgreSQL choose the rows once; in a plain IN (SELECT ... LIMIT), it may
    # choose again for each row, and delete more than the batch.
    statement = (
        f"DELETE FROM {name(table)} WHERE {name(key)} = ANY(ARRAY("  # noqa: S608 - names of models
        f"SELECT {name(key)} FROM {name(table)} WHERE {name(column)} < %s "
        f"ORDER BY {name(column)} LIMIT %s FOR UPDATE SKIP LOCKED))"
    )
    end = time.monotonic() + seconds
    total = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(statement, [limit, batch])
            deleted = int(cursor.rowcount)
            total += deleted
            if deleted < batch or time.monotonic() > end:
                return total
