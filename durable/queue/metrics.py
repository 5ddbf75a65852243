"""The rows of each queue by state, and the workers, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from celery import current_app

from . import store
from .states import STATES


def queues() -> set[str]:
    """Return the queues that the settings name: they are shown at 0 as well."""
    routes = current_app.conf.task_routes
    routed = routes.values() if isinstance(routes, Mapping) else ()
    named = {str(route["queue"]) for route in routed if isinstance(route, Mapping)
             and "queue" in route}  # fmt: skip
    return named | {str(current_app.conf.task_default_queue)}


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]:
    """Yield the gauges of this app; two statements."""
    label = ("queue",)
    found = store.counts()
    nothing: dict[tuple[str, ...], float] = {
        (queue,): 0.0 for queue in queues() | {row[0] for row in found}
    }
    counts = {state: dict(nothing) for state in STATES}
    oldest = dict(nothing)
    for queue, state, count, age in found:
        counts[state][(queue,)] = float(count)
        if state == "ready":
            oldest[(queue,)] = max(0.0, age)
    for name, known in STATES.items():
        yield f"proj_tasks_{name}", f"Durable tasks: {known.meaning}.", label, counts[name]
    yield "proj_oldest_ready_seconds", "Age of the oldest task that is ready.", label, oldest
    alive = float(store.workers_alive())
    yield "proj_workers", "Workers with a recent sign of life.", (), {(): alive}
