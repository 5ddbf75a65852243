"""Requests by route and status, with their durations.

Each process of web counts in memory and adds to a table every few seconds, so any process of any
pod answers `/metrics` with the sum of all. A route is the name of a URL's pattern: there are as
many as there are patterns, whatever paths are asked for.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import Error, connections, router, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .models import Requests

logger = logging.getLogger(__name__)

#: Upper bounds of the histogram, in seconds; one more counts what is beyond.
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: Seconds between two additions to the table.
INTERVAL = 10.0
#: Routes with a label of their own, the first to come; all later ones are one.
LABELS, OTHER = 100, "other"
#: Routes without a request in so many days are not shown.
DAYS = 14

_ADD = """INSERT INTO durable_metrics_requests AS known
        (route, status, count, seconds, buckets, changed_at)
    VALUES (%s, %s, %s, %s, %s, now())
    ON CONFLICT (route, status) DO UPDATE SET
        count = known.count + excluded.count, seconds = known.seconds + excluded.seconds,
        changed_at = now(),
        buckets = ARRAY(SELECT mine + more FROM unnest(known.buckets, excluded.buckets)
            WITH ORDINALITY AS each(mine, more, place) ORDER BY place)"""


class Counts:
    """What this process has counted, and not added to the table yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, int], tuple[float, list[int]]] = {}
        self._thread: threading.Thread | None = None

    def add(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            total, buckets = self._found.get((route, status), (0.0, [0] * (len(BOUNDS) + 1)))
            buckets[bisect_left(BOUNDS, seconds)] += 1
            self._found[route, status] = total + seconds, buckets
            # After a fork() there is none.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
                self._thread.start()

    def store(self) -> None:
        """Add what was counted to the table; while the database is away, it waits here.

        :raises django.db.Error: it is away.
        """
        with self._lock:
            found, self._found = self._found, {}
        # In one order, or two processes could wait for each other.
        rows = [(*key, sum(buckets), total, buckets)
                for key, (total, buckets) in sorted(found.items())]  # fmt: skip
        try:
            alias = router.db_for_write(Requests)
            with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                # A counter that was not shown any more begins anew.
                Requests.objects.using(alias).filter(changed_at__lt=_shown_since()).delete()
                cursor.executemany(_ADD, rows)
        except Error:
            self._put_back(found)
            raise

    def _put_back(self, found: dict[tuple[str, int], tuple[float, list[int]]]) -> None:
        with self._lock:
            for key, (total, buckets) in found.items():
                since, more = self._found.get(key, (0.0, [0] * len(buckets)))
                added = [one + other for one, other in zip(buckets, more, strict=True)]
                self._found[key] = since + total, added

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            if not self._found:
                continue
            try:
                self.store()
            except Error as error:
                logger.debug("requests are counted on, and stored later: %s", error)
            finally:
                connections.close_all()  # back to the pool


counts = Counts()


class RequestMetrics:
    """Counts each request, where somebody may read `/metrics`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not getattr(settings, "METRICS_TOKEN", ""):
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begin = time.perf_counter()
        response = self.get_response(request)
        counts.add(route(request, response), response.status_code, time.perf_counter() - begin)
        return response


def route(request: HttpRequest, response: HttpResponse) -> str:
    """Return the name of the pattern that a request's path fits."""
    match = request.resolver_match
    if match is None:
        return "static" if response.status_code < 400 else "unmatched"
    return str(match.view_name or match.route)


def recent() -> list[Requests]:
    """Return what the table has of the routes that are asked for, the first to come first."""
    shown = Requests.objects.filter(changed_at__gte=_shown_since())
    return list(shown.order_by("id")[: 20 * LABELS])


def _shown_since() -> datetime:
    return timezone.now() - timedelta(days=DAYS)
