"""kubectl, in the namespace of one overlay."""

from __future__ import annotations

import json
from typing import Any

from .. import cluster

Object = dict[str, Any]


class Cluster(cluster.Cluster):
    """The namespace of an overlay, and the workers in it."""

    def __call__(self, *arguments: str, timeout: float = 60) -> str:
        """Run kubectl with *arguments* in the namespace; return what it prints.

        :param timeout: seconds.
        :raises ClusterError: it failed, or took too long.
        """
        return self.kubectl(*arguments, timeout=timeout)

    def get(self, kind: str, *arguments: str) -> list[Object]:
        """Return the objects of *kind*."""
        items: list[Object] = json.loads(self("get", kind, "--output=json", *arguments))["items"]
        return items

    def pods(self, pool: str) -> list[Object]:
        """Return the worker pods of *pool* that are not on their way out."""
        chosen = f"--selector=app.kubernetes.io/component=worker,pool={pool}"
        return [p for p in self.get("pods", chosen) if "deletionTimestamp" not in p["metadata"]]


def name(thing: Object) -> str:
    """Return the name of an object."""
    return str(thing["metadata"]["name"])


def is_ready(pod: Object) -> bool:
    """Return whether the worker in *pod* consumes: its readiness probe asks for that."""
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
