"""Nodes of a cluster that kind made: containers of the local engine, which may be broken."""

from __future__ import annotations

from ..chaos.engine import run
from .kubectl import Kubectl, Object, is_ready, name

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def all_nodes(kubectl: Kubectl) -> list[Object]:
    """Return every node."""
    return kubectl.get("nodes")


def is_kind(kubectl: Kubectl) -> bool:
    """Return whether kind made the cluster: no real nodes are drained or stopped."""
    return all(
        str(node["spec"].get("providerID", "")).startswith("kind://docker/")
        for node in all_nodes(kubectl)
    )


def address(kubectl: Kubectl) -> str:
    """Return the address for requests: a node that is never broken, the control plane."""
    found = all_nodes(kubectl)
    found.sort(key=lambda node: CONTROL_PLANE not in node["metadata"].get("labels", {}))
    addresses = {a["type"]: str(a["address"]) for a in found[0]["status"]["addresses"]}
    return addresses["InternalIP"]


def workers(kubectl: Kubectl) -> list[str]:
    """Return the names of the nodes that run pods and can be broken."""
    return [
        name(node)
        for node in all_nodes(kubectl)
        if CONTROL_PLANE not in node["metadata"].get("labels", {})
    ]


def of(pod: Object) -> str:
    """Return the name of the node that a pod runs on."""
    return str(pod["spec"].get("nodeName", ""))


def cluster_name(kubectl: Kubectl) -> str:
    """Return the name that kind knows the cluster by."""
    return str(all_nodes(kubectl)[0]["spec"]["providerID"]).split("/")[3]


def stop(node: str) -> None:
    """Take a node's power away: SIGKILL to all of it."""
    run("docker", "kill", node)


def start(kubectl: Kubectl, node: str) -> None:
    """Start a stopped node, and wait until it is Ready."""
    run("docker", "start", node)
    kubectl.wait(lambda: is_ready(kubectl.one("node", node)), f"{node} is Ready", 180)


def wait_lost(kubectl: Kubectl, node: str) -> None:
    """Wait until the cluster has noticed that a node is gone."""
    kubectl.wait(lambda: not is_ready(kubectl.one("node", node)), f"{node} is NotReady", 180)
