"""How large the database is, what runs here, and the requests; found by its name."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db import connection

from durable import __version__

from . import requests


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], Mapping[tuple[str, ...], Any]]]:
    """Yield the gauges."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        [size] = cursor.fetchone()
    yield "proj_database_bytes", "Bytes of the database on its disk.", (), {(): float(size)}
    build = _build()
    yield "proj_build_info", "What web runs: always 1.", tuple(build), {tuple(build.values()): 1.0}
    yield from _of_requests()


@cache
def _build() -> dict[str, str]:
    return {
        "version": str(getattr(settings, "APP_VERSION", "")),
        "durable": __version__,
        **{name: version(name) for name in ("django", "celery")},
        "python": platform.python_version(),
    }


def _of_requests() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], Any]]]:
    """Yield the counter by route and status, and the histogram by route, once there was one."""
    found = requests.recent()
    if not found:
        return
    kept = set(list(dict.fromkeys(one.route for one in found))[: requests.LABELS])
    counted: dict[tuple[str, ...], float] = {}
    times: dict[tuple[str, ...], tuple[list[int], float]] = {}
    for one in found:
        name = one.route if one.route in kept else requests.OTHER
        key = (name, str(one.status))
        counted[key] = counted.get(key, 0.0) + one.count
        buckets, total = times.get((name,), ([0] * (len(requests.BOUNDS) + 1), 0.0))
        added = [old + new for old, new in zip(buckets, one.buckets, strict=True)]
        times[name,] = added, total + one.seconds
    yield (
        "proj_http_requests_total",
        "Requests that web has answered.",
        ("route", "status"),
        counted,
    )
    bounds = [*(str(float(bound)) for bound in requests.BOUNDS), "+Inf"]
    yield (
        "proj_http_request_seconds", "Seconds of a request in web.", ("route",),
        {key: (list(zip(bounds, map(float, accumulate(buckets)), strict=True)), total)
         for key, (buckets, total) in times.items()},
    )  # fmt: skip
