"""Queues that somebody takes from, and nobody sends to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from .facts import conf, tasks
from .invariant import Finding, invariant


def known() -> set[str]:
    """Return the queues that the settings and the tasks name."""
    names = {str(conf().task_default_queue)}
    names |= {str(task.queue) for task in tasks().values() if getattr(task, "queue", None)}
    declared = conf().task_queues or ()
    names |= {str(getattr(queue, "name", queue)) for queue in declared}
    names |= set(_routed(conf().task_routes))
    return names


def _routed(routes: Any) -> Iterator[str]:
    """Yield the queues that routes name, where that can be seen: not in a function's body."""
    if isinstance(routes, dict):
        for route in routes.values():
            queue = route.get("queue") if isinstance(route, dict) else route
            if isinstance(queue, str):
                yield queue
            elif queue is not None and hasattr(queue, "name"):
                yield str(queue.name)
    elif isinstance(routes, list | tuple):
        for part in routes:
            yield from _routed(part)


def _can_be_seen(routes: Any) -> bool:
    if isinstance(routes, list | tuple):
        return all(_can_be_seen(part) for part in routes)
    return routes is None or isinstance(routes, dict)


@invariant(
    "proj.W091",
    "every queue of WORKER_QUEUES is the default queue, or a route, a task or CELERY_TASK_QUEUES "
    "names it (role worker)",
    "correct the name in WORKER_QUEUES, or route a task to it",
)
def a_worker_takes_from_queues_that_are_used() -> Iterator[Finding]:
    """Find a worker that waits at a queue to which nothing is sent: most likely a typing error."""
    if settings.ROLE != "worker" or not _can_be_seen(conf().task_routes):
        return
    taken = [name.strip() for name in os.environ.get("WORKER_QUEUES", "").split(",")]
    for name in sorted({name for name in taken if name} - known()):
        yield (
            f"WORKER_QUEUES={','.join(taken)}: nothing is routed to {name}; known are "
            f"{', '.join(sorted(known()))}.",
            "Correct the name, or route a task to it (CELERY_TASK_ROUTES).",
        )
