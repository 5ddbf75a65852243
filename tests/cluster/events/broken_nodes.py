"""Nodes go: emptied in order, or without a word.

The volumes of a test cluster are directories of one node, so what holds data can't move. A cluster
with network storage would move it; here the node with PostgreSQL comes back instead.
"""

from __future__ import annotations

from .. import nodes
from ..event import Event, Scene


def node_of_stores(scene: Scene) -> str:
    """Return the node that all volumes are on (the overlay sees to that)."""
    return nodes.of(scene.stack.kubectl.one("pod", "postgres-0"))


def other_node(scene: Scene) -> str:
    """Return a node that runs pods of the stack, and holds no volume of it."""
    stores = node_of_stores(scene)
    others = [node for node in nodes.workers(scene.stack.kubectl) if node != stores]
    used = [nodes.of(pod) for pod in scene.stack.kubectl.pods()]
    return max(others, key=used.count)


def make_use_of_nodes(scene: Scene) -> None:
    """Place every pod anew if all of web is on one node, as it is when another one came back."""
    if len({nodes.of(pod) for pod in scene.stack.kubectl.pods("web")}) == 1:
        scene.stack.restart()


class Drained(Event):
    """A node is emptied for an update."""

    name = "node-drained"
    what = "a node is drained"

    node = ""

    def prepare(self, scene: Scene) -> None:
        make_use_of_nodes(scene)
        self.node = other_node(scene)

    def inject(self, scene: Scene) -> None:
        scene.stack.kubectl(
            "drain", self.node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=280s"
        )
        scene.stack.wait_healthy()

    def heal(self, scene: Scene) -> None:
        scene.stack.kubectl("uncordon", self.node)


class NodeStopped(Event):
    """A node loses its power; its pods are started elsewhere."""

    name = "node-stopped"
    what = "a node loses its power"
    soak = False

    node = ""

    def prepare(self, scene: Scene) -> None:
        make_use_of_nodes(scene)
        self.node = other_node(scene)

    def inject(self, scene: Scene) -> None:
        nodes.stop(self.node)
        nodes.wait_lost(scene.stack.kubectl, self.node)
        scene.stack.wait_healthy(420)

    def heal(self, scene: Scene) -> None:
        nodes.start(scene.stack.kubectl, self.node)


class StoreNodeStopped(Event):
    """The node with both volumes loses its power, and comes back."""

    name = "store-node-stopped"
    what = "the node that PostgreSQL's and Redis' volumes are on loses its power, for 20 s"
    lasts = 20.0
    soak = False

    node = ""

    def prepare(self, scene: Scene) -> None:
        make_use_of_nodes(scene)
        self.node = node_of_stores(scene)

    def inject(self, scene: Scene) -> None:
        nodes.stop(self.node)

    def heal(self, scene: Scene) -> None:
        nodes.start(scene.stack.kubectl, self.node)
