"""How large the database is; durable/metrics finds this by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.db import connection


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], Mapping[tuple[str, ...], float]]]:
    """Yield the gauge."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        [size] = cursor.fetchone()
    yield "proj_database_bytes", "Bytes of the database on its disk.", (), {(): float(size)}
