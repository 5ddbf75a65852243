"""The task of the benchmarks: it writes one row."""

from __future__ import annotations

from celery import shared_task
from django.db import connection

CREATE = """CREATE TABLE IF NOT EXISTS bench_effect (
    label int, at timestamptz DEFAULT clock_timestamp())"""


@shared_task
def effect(label: int) -> int:
    """Write one effect."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_effect (label) VALUES (%s)", [label])
    return label
