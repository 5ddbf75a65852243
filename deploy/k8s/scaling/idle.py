"""The worker that goes first: the one with the least to do.

A ReplicaSet removes the pods with the lowest `controller.kubernetes.io/pod-deletion-cost` first,
among those that are ready. What a worker has to do is known by its rows, by the name of its pod.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from ..cluster import ClusterError
from .cluster import Cluster, name

COST = "controller.kubernetes.io/pod-deletion-cost"
#: What one running task counts; its seconds so far, and tasks that it only holds, decide the rest.
RUNNING = 1000


class Load(NamedTuple):
    """The work of a worker: tasks it runs, for how long in sum, and those it has not begun."""

    running: int = 0
    seconds: int = 0
    held: int = 0


def loads(cluster: Cluster) -> dict[str, Load]:
    """Return for each worker, by its host name, what it has to do.

    :raises ClusterError: no web pod can be asked.
    """
    # Django's start takes a second or two, on a busy node many.
    said = cluster(
        "exec", "deployment/web", "--container=app", "--",
        "python", "manage.py", "durable_workers", "--json", timeout=120,
    )  # fmt: skip
    rows = json.loads(said.splitlines()[-1])
    return {row.pop("hostname"): Load(**row) for row in rows}


def costs(pods: list[str], busy: Mapping[str, Load]) -> dict[str, int]:
    """Return what it costs to remove each of *pods*; one that holds no row, nothing."""
    found = {}
    for pod in pods:
        load = busy.get(pod, Load())
        rest = min(load.seconds, RUNNING - 100) + min(load.held, 99)
        found[pod] = min(RUNNING * load.running, 2**30) + rest
    return found


def mark(cluster: Cluster, pool: str) -> dict[str, int]:
    """Write its cost to each pod of *pool*; return what was written.

    :raises ClusterError: no web pod can be asked, or the pods not be changed.
    """
    found = costs([name(pod) for pod in cluster.pods(pool)], loads(cluster))
    for pod, cost in found.items():
        cluster("annotate", "pod", pod, f"{COST}={cost}", "--overwrite")
    return found


def unmark(cluster: Cluster, pool: str) -> None:
    """Take the costs away again: in a minute they would be wrong, and an autoscaler reads them."""
    for pod in cluster.pods(pool):
        if COST in pod["metadata"].get("annotations", {}):
            try:
                cluster("annotate", "pod", name(pod), f"{COST}-")
            except ClusterError:  # it has gone meanwhile
                continue
