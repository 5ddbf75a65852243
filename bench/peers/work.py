"""The work that all do: a task that writes one row, and a task that does nothing."""

from __future__ import annotations

from django.db import connection

INSERT = "INSERT INTO bench_effect (label) VALUES ({})"

#: The label of a task that does nothing. The others that "do nothing" write a row: a few of them
#: show how far the queue is, for all peers in the same way.
NOT_MARKED = -1


def effect(label: int) -> int:
    """Write one row."""
    with connection.cursor() as cursor:
        cursor.execute(INSERT.format("%s"), [label])
    return label


def nothing(label: int) -> int:
    """Do nothing, unless this one is marked."""
    return label if label == NOT_MARKED else effect(label)
