"""Pods are killed with ``--grace-period=0 --force``: gone from the API at once, no goodbye."""

from __future__ import annotations

from ...chaos.engine import ChaosError
from ...chaos.faults.beat import lock_holders
from ...chaos.faults.workers import make_busy
from ..event import Event, Scene
from ..kubectl import name


def kill(scene: Scene, *pods: str) -> None:
    """Kill pods; their controllers make others."""
    scene.stack.kubectl(
        "delete", "pod", *pods, "--grace-period=0", "--force", "--wait=false", timeout=60
    )


def kill_all(scene: Scene, component: str) -> None:
    """Kill every pod of a component at once."""
    kill(scene, *(name(pod) for pod in scene.stack.kubectl.pods(component)))


class WebKilled(Event):
    """Each web pod in turn, as the next one serves again."""

    name = "web-killed"
    what = "each web pod is killed, one after another"

    def inject(self, scene: Scene) -> None:
        for pod in scene.stack.kubectl.pods("web"):
            kill(scene, name(pod))
            scene.stack.wait_healthy()


class WorkersKilled(Event):
    """All workers of all pools at once."""

    name = "workers-killed"
    what = "all worker pods are killed at once, while they run long tasks"

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 3)
        kill_all(scene, "worker")


class BeatKilled(Event):
    """The beat that leads, again and again."""

    name = "beat-killed"
    what = "the leading beat pod is killed, three times"

    def inject(self, scene: Scene) -> None:
        for _ in range(3):
            kill(scene, leader(scene))
            scene.wait(7)


def leader(scene: Scene) -> str:
    """Return the beat pod that holds the lock.

    :raises ChaosError: none of them leads.
    """
    stack = scene.stack

    def found() -> str:
        holders = lock_holders(stack)
        leaders = [p for p in stack.kubectl.pods("beat") if p["status"].get("podIP") in holders]
        return name(leaders[0]) if leaders else ""

    try:
        return str(stack.kubectl.wait(found, "a beat leads", 60))
    except ChaosError as error:
        raise ChaosError(f"{error}; locks: {lock_holders(stack)}\n{stack.told()}") from error


class PostgresKilled(Event):
    """The database dies with its pod; the volume stays."""

    name = "postgres-killed"
    what = "the PostgreSQL pod is killed"

    def inject(self, scene: Scene) -> None:
        kill_all(scene, "postgres")


class RedisKilled(Event):
    """The broker dies with its pod; the volume stays."""

    name = "redis-killed"
    what = "the Redis pod is killed"

    def inject(self, scene: Scene) -> None:
        kill_all(scene, "redis")


EVENTS: tuple[type[Event], ...] = (
    WebKilled,
    WorkersKilled,
    BeatKilled,
    PostgresKilled,
    RedisKilled,
)
