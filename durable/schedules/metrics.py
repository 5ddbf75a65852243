"""Whether a beat leads, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections, router
from django_celery_beat.models import PeriodicTask

from .leader import KEY

# The lock that the leader's session holds, in this database; no other session's statement shows.
_LEADS = """SELECT count(*) FROM pg_locks WHERE granted AND locktype = 'advisory'
    AND classid::int8 = %s AND objid::int8 = %s AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]:
    """Yield the gauge of this app; one statement, which reads memory alone."""
    with connections[router.db_for_write(PeriodicTask)].cursor() as cursor:
        cursor.execute(_LEADS, KEY)
        (leads,) = cursor.fetchone()
    yield "proj_beat_leads", "Beats that lead: 1, and 0 while none does.", (), {(): float(leads)}
