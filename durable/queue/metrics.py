"""The rows of each queue by state, and the workers, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from celery import current_app
from django.utils import timezone

from durable.journal import entry

from . import overview, progress
from .states import STATES


def queues() -> set[str]:
    """Return the queues that the settings name: they are shown at 0 as well."""
    routes = current_app.conf.task_routes
    routed = routes.values() if isinstance(routes, Mapping) else ()
    named = {str(route["queue"]) for route in routed if isinstance(route, Mapping)
             and "queue" in route}  # fmt: skip
    return named | {str(current_app.conf.task_default_queue)}


#: Queues with a label of their own, beside those that the settings name; the others are one.
LABELS, OTHER = 100, "other"


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]:
    """Yield the gauges of this app; each statement is bounded, however long the queue is."""
    named = queues()
    waiting = overview.queues(named)
    in_hand, taken = overview.in_hand(), overview.takers()
    paused = overview.paused()
    others = {one.name for one in waiting} | {queue for queue, _, _ in in_hand}
    kept = named | set(sorted(others - named)[:LABELS])

    def nothing() -> dict[tuple[str, ...], float]:
        return {(queue,): 0.0 for queue in kept}

    def label(queue: str) -> tuple[str]:
        return (queue if queue in kept else OTHER,)

    counts = {state: nothing() for state in STATES}

    def add(state: str, queue: str, count: int) -> None:
        of = counts[state]
        of[label(queue)] = of.get(label(queue), 0.0) + count

    oldest, untaken = nothing(), nothing()
    alive = overview.by_queue(taken)
    now = timezone.now()
    for one in waiting:
        add("ready", one.name, one.ready)
        add("scheduled", one.name, one.scheduled)
        if one.oldest:
            age = (now - one.oldest).total_seconds()
            oldest[label(one.name)] = max(oldest.get(label(one.name), 0.0), age)
        if one.name not in alive and one.name not in paused:
            untaken[label(one.name)] = untaken.get(label(one.name), 0.0) + one.ready
    for queue, state, count in in_hand:
        add(state, queue, count)
    for queue, count in overview.limited().items():
        add("limited", queue, count)
    by = ("queue",)
    for name, known in STATES.items():
        meaning = f"Durable tasks: {known.meaning}; counted up to {overview.CAP:,} a lane."
        yield f"proj_tasks_{name}", meaning, by, counts[name]
    waits = "Rows that wait, in all queues: PostgreSQL's own estimate, without a limit."
    yield "proj_tasks_waiting_estimate", waits, (), {(): float(overview.estimate())}
    yield "proj_oldest_ready_seconds", "Age of the oldest task that is ready.", by, oldest
    seen = "Calls that are not written again for a time or an event: PostgreSQL's own estimate."
    yield "proj_calls_remembered", seen, (), {(): float(overview.estimate("durable_seen_once"))}
    silent = "Seconds since the last word of the task that runs and has told its progress long ago."
    yield "proj_progress_silent_seconds", silent, (), {(): progress.silence()}
    alone = "Ready tasks of a queue that no living worker takes from, and that is not paused."
    yield "proj_tasks_untaken", alone, by, untaken
    stopped = nothing() | {(queue,): 1.0 for queue in kept & paused.keys()}
    yield "proj_queue_paused", "1 while a person has paused the queue.", by, stopped
    yield "proj_workers", "Workers with a recent sign of life.", (), {(): float(len(taken))}
    slots = float(sum(one.slots for one in taken))
    yield "proj_slots", "Tasks that the living workers run at once, at most.", (), {(): slots}
    versions = {one.version for one in taken if one.version} | ({entry.version()} - {""})
    yield (
        "proj_versions", "Versions that run: those of the living workers, and web's own.", (),
        {(): float(len(versions))},
    )  # fmt: skip
