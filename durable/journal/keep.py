"""Drops entries that are older than ``HISTORY_DAYS``, a day at a time."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import OperationalError, connections, transaction
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from . import conf
from .models import Minute, Release, Total

#: How long it waits for those who read a part.
PATIENCE = "2s"


def drop_old() -> int:
    """Empty the parts of days that are over; return how many had entries.

    A part is emptied, not its rows deleted: no vacuum, and hardly a byte of the log. It waits for
    those who just read it, for PATIENCE; what is busy is left to the next run.
    """
    today = int(time.time()) // 86_400
    live = {day % conf.SLOTS for day in range(today - conf.days(), today + 2)}
    emptied = 0
    for slot in sorted(set(range(conf.SLOTS)) - live):
        try:
            emptied += _empty(f"durable_journal_{slot}")
            _empty(f"durable_log_{slot}")
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):  # in whatever language
                raise
    # A name that was not seen for as long leaves its place among the counters to another.
    old = timezone.now() - timedelta(days=conf.MINUTES_DAYS)
    Minute.objects.using(conf.alias()).filter(minute__lt=old).delete()
    Release.objects.using(conf.alias()).filter(until__lt=old).delete()
    Total.objects.using(conf.alias()).filter(changed_at__lt=old).delete()
    return emptied


def _empty(table: str) -> int:
    with transaction.atomic(using=conf.alias()), connections[conf.alias()].cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - a name made here
        if cursor.fetchone() is None:
            return 0
        cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
        cursor.execute(f"TRUNCATE {table}")
    return 1
