"""The ruler over how many pods a pool has: a ScaledObject of KEDA, an autoscaler, or a person."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .cluster import Cluster, Object, name


@dataclass(frozen=True)
class Ruler:
    """An object with a minimum and a maximum."""

    kind: str
    name: str
    fields: tuple[str, str]  # of the minimum and the maximum, in its spec
    least: int
    most: int

    def move(self, cluster: Cluster, number: int) -> tuple[int, int]:
        """Make *number* the minimum, and raise the maximum to it if need be; return both."""
        least, most = number, max(number, self.most)
        patch = json.dumps({"spec": dict(zip(self.fields, (least, most), strict=True))})
        cluster("patch", self.kind, self.name, "--type=merge", f"--patch={patch}")
        return least, most


def ruler_of(cluster: Cluster, deployment: str) -> Ruler | None:
    """Return what rules *deployment*; ``None`` if nothing does."""
    if _knows_scaled_objects(cluster):
        for found in cluster.get("scaledobjects.keda.sh"):
            if _targets(found, deployment):
                spec = found["spec"]
                least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
                fields = ("minReplicaCount", "maxReplicaCount")
                return Ruler("scaledobjects.keda.sh", name(found), fields, least, most)
    for found in cluster.get("horizontalpodautoscalers.autoscaling"):
        if _targets(found, deployment):
            spec = found["spec"]
            fields = ("minReplicas", "maxReplicas")
            kind = "horizontalpodautoscalers.autoscaling"
            return Ruler(kind, name(found), fields, spec.get("minReplicas", 1), spec["maxReplicas"])
    return None


def _knows_scaled_objects(cluster: Cluster) -> bool:
    listed = cluster("api-resources", "--api-group=keda.sh", "--output=name", "--cached=false")
    return "scaledobjects.keda.sh" in listed.split()


def _targets(found: Object, deployment: str) -> bool:
    target = found["spec"]["scaleTargetRef"]
    kind = target.get("kind", "Deployment")
    return bool(kind == "Deployment" and target["name"] == deployment)
