"""The rows of each queue by state, and the workers, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from celery import current_app
from django.utils import timezone

from . import overview, store
from .states import STATES

#: Rows of a lane that a scrape counts at most; the age of the oldest says the rest.
CAP = 10_000


def queues() -> set[str]:
    """Return the queues that the settings name: they are shown at 0 as well."""
    routes = current_app.conf.task_routes
    routed = routes.values() if isinstance(routes, Mapping) else ()
    named = {str(route["queue"]) for route in routed if isinstance(route, Mapping)
             and "queue" in route}  # fmt: skip
    return named | {str(current_app.conf.task_default_queue)}


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]:
    """Yield the gauges of this app; the statements walk an index, up to ``CAP`` rows a lane."""
    label = ("queue",)
    waiting, taken = overview.queues(CAP), overview.taken()
    names = queues() | {one.name for one in waiting} | {row[0] for row in taken}
    nothing: dict[tuple[str, ...], float] = {(name,): 0.0 for name in names}
    counts = {state: dict(nothing) for state in STATES}
    oldest, now = dict(nothing), timezone.now()
    for one in waiting:
        counts["ready"][(one.name,)] = float(one.ready)
        counts["scheduled"][(one.name,)] = float(one.scheduled)
        if one.oldest:
            oldest[(one.name,)] = max(0.0, (now - one.oldest).total_seconds())
    for queue, state, count in taken:
        counts[state][(queue,)] = float(count)
    for name, known in STATES.items():
        yield f"proj_tasks_{name}", f"Durable tasks: {known.meaning}.", label, counts[name]
    yield "proj_oldest_ready_seconds", "Age of the oldest task that is ready.", label, oldest
    alive = float(store.workers_alive())
    yield "proj_workers", "Workers with a recent sign of life.", (), {(): alive}
