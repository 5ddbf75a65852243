"""The rows that are counted, written by the connection of the request or the task."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection


def enqueued(operations: Iterable[tuple[str, str, str]]) -> None:
    """Write what a request is about to enqueue: label, operation and kind of each."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO chaos_operation (label, operation, kind) VALUES (%s, %s, %s)",
            list(operations),
        )


def executed(operation: str) -> None:
    """Append one row: the effect of an operation."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_effect (operation, host, pid) VALUES (%s, %s, %s)",
            [operation, socket.gethostname(), os.getpid()],
        )


def swept(label: str) -> None:
    """Append the effects of all unique operations that have none: as one that runs alone may."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_effect (operation, host, pid) SELECT operation, %s, %s"
            " FROM chaos_operation WHERE label = %s AND kind = 'unique'"
            " AND operation NOT IN (SELECT operation FROM chaos_effect)",
            [socket.gethostname(), os.getpid(), label],
        )


@contextmanager
def span(key: str, operation: str) -> Iterator[None]:
    """Append a row that says from when to when a task with a key ran."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [began] = cursor.fetchone()
        yield
        cursor.execute(
            "INSERT INTO chaos_span VALUES (%s, %s, %s, clock_timestamp())",
            [key, operation, began],
        )


def ticked(every: int, sent_at: float) -> None:
    """Append one row: a periodic task that ran, and when beat sent it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_tick (every, sent_at) VALUES (%s, to_timestamp(%s))",
            [every, sent_at],
        )
