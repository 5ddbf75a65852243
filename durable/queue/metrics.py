"""What the ledger says of queues and workers, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from celery import current_app

from . import conf, store

#: A row whose due_at is no further away than a lease is being sent right now.
_STATE = f"""CASE
    WHEN quarantined_at IS NOT NULL THEN 'quarantined'
    WHEN worker IS NOT NULL THEN 'running'
    WHEN due_at > clock_timestamp() + {conf.LEASE} * interval '1 s' THEN 'scheduled'
    ELSE 'waiting' END"""

#: Since when a row waits. While the broker is away every try moves due_at, so what has been tried
#: before counts from where it was sent the last time, or was written.
_SINCE = """CASE
    WHEN due_at IS NULL THEN coalesce(sent_at, created_at)
    WHEN sends >= 2 AND error = '' THEN coalesce(sent_at, created_at)
    ELSE due_at END"""

_QUERY = f"""SELECT queue, state, count(*),
        extract(epoch FROM max(clock_timestamp() - since))::float8
    FROM (SELECT queue, {_STATE} AS state, {_SINCE} AS since FROM durable_task) AS entry
    GROUP BY queue, state"""  # noqa: S608 - constants

MEANING = {
    "waiting": "Durable tasks that are due and wait for a worker.",
    "running": "Durable tasks that a worker runs.",
    "scheduled": "Durable tasks whose time has not come (countdown, eta, retry).",
    "quarantined": "Durable tasks that failed to start or to be sent too often; a person decides.",
}


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
    found = store.run(_QUERY)
    nothing: dict[tuple[str, ...], float] = {
        (queue,): 0.0 for queue in queues() | {str(row[0]) for row in found}
    }
    counts = {state: dict(nothing) for state in MEANING}
    oldest = dict(nothing)
    for queue, state, count, age in found:
        counts[state][(queue,)] = float(count)
        if state == "waiting":
            oldest[(queue,)] = max(0.0, age)
    for state, meaning in MEANING.items():
        yield f"proj_tasks_{state}", meaning, label, counts[state]
    yield "proj_oldest_due_seconds", "Age of the oldest task that is due and waits.", label, oldest
    [(workers,)] = store.run(
        "SELECT count(*) FROM durable_worker"
        " WHERE seen_at > clock_timestamp() - %s * interval '1 s'",
        [conf.get("DEAD_AFTER")],
    )
    yield "proj_workers", "Workers with a recent sign of life.", (), {(): float(workers)}
