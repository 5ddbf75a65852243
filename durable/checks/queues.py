"""Queues that are only taken from, and those that are only sent to."""

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


def taken() -> set[str]:
    """Return the queues of WORKER_QUEUES; none if it is not set."""
    names = (name.strip() for name in os.environ.get("WORKER_QUEUES", "").split(","))
    return {name for name in names if name}


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
    for name in sorted(taken() - known()):
        yield (
            f"WORKER_QUEUES={','.join(sorted(taken()))}: nothing is routed to {name}; known are "
            f"{', '.join(sorted(known()))}.",
            "Correct the name, or route a task to it (CELERY_TASK_ROUTES).",
        )


@invariant(
    "proj.W092",
    "every queue that a route, a task or CELERY_TASK_QUEUES names, and the default one, is in "
    "WORKER_QUEUES (not in the role worker: a pool has queues of its own)",
    "add the queue to WORKER_QUEUES in k8s/base/app.env; on Kubernetes to a pool too",
)
def every_queue_is_taken_from() -> Iterator[Finding]:
    """Find a queue whose tasks wait for ever: no worker of this deployment takes from it."""
    # A command that is typed in a worker's pod plays no role, and sees that pool's queues alone.
    of_one_pool = settings.ROLE == "worker" or "TERMINATION_GRACE_PERIOD" in os.environ
    if of_one_pool or not taken():
        return
    for name in sorted(known() - taken()):
        yield (
            f"WORKER_QUEUES={','.join(sorted(taken()))}: tasks are sent to the queue {name}, and "
            "no worker takes them.",
            f"Add {name} to WORKER_QUEUES in k8s/base/app.env (or .env), or correct the route; on "
            "Kubernetes a pool needs it too (annotation `queues`, k8s/base/pools).",
        )
