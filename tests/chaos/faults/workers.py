"""Workers that die, and workers that are told to go."""

from __future__ import annotations

from typing import Any

from ..engine import run
from ..fault import Fault, Scene, SceneOn


def make_busy(scene: SceneOn[Any], seconds: float, number: int = 8) -> None:
    """Enqueue *number* tasks that run for *seconds*, and let workers start some of them."""
    scene.load.post([scene.load.operation("long", seconds) for _ in range(number)])
    scene.wait(2)


class ChildKilled(Fault):
    """The kernel, or a bug in C, ends a process of a worker's pool."""

    name = "child-killed"
    what = "a child of a worker gets SIGKILL while it works, six times"

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 4)
        for _ in range(6):
            workers = scene.stack.ids("worker")
            children = [pid for id_ in workers for pid in scene.stack.children(id_)]
            if children:
                scene.stack.kill(scene.random.choice(children))
            scene.wait(1)


class WorkerKilled(Fault):
    """A worker's main process ends, and its pool with it."""

    name = "worker-killed"
    what = "one of two workers gets SIGKILL while it works, three times"

    def inject(self, scene: Scene) -> None:
        for _ in range(3):
            make_busy(scene, 3, 4)
            scene.stack.kill_container(scene.random.choice(scene.stack.ids("worker")))
            scene.wait(4)


class AllWorkersKilled(Fault):
    """A node with every worker on it is gone."""

    name = "workers-killed"
    what = "all workers get SIGKILL at once, while they run long tasks"

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 3)
        scene.stack.kill_container(*scene.stack.ids("worker"))


class Stopped(Fault):
    """A deployment stops workers that run tasks longer than the soft shutdown waits."""

    name = "workers-stopped"
    what = "busy workers get TERM, with their own grace period, and start again"

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 40, 3)  # of four slots: the others' tasks go on
        scene.stack.compose("stop", "worker")

    def heal(self, scene: Scene) -> None:
        scene.stack.compose("start", "worker")


class StoppedHard(Fault):
    """The same, with a supervisor that has no patience."""

    name = "workers-stopped-hard"
    what = "busy workers get TERM, and SIGKILL 3 s later"

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 10)
        scene.stack.compose("stop", "--timeout", "3", "worker")

    def heal(self, scene: Scene) -> None:
        scene.stack.compose("start", "worker")


class ScaledDown(Fault):
    """An autoscaler takes workers away."""

    name = "scaled-4-to-1"
    what = "four busy workers become one"

    def prepare(self, scene: Scene) -> None:
        self._scale(scene, 4)

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 6)
        self._scale(scene, 1)

    def heal(self, scene: Scene) -> None:
        self._scale(scene, scene.stack.workers)

    def _scale(self, scene: Scene, number: int) -> None:
        scene.stack.compose(
            "up", "--detach", "--no-deps", "--no-build", "--no-recreate",
            "--scale", f"worker={number}", "worker",
        )  # fmt: skip


class WorkerFrozen(Fault):
    """A worker stands still and comes back: what it runs was given to others meanwhile."""

    name = "worker-frozen"
    what = "one of two workers is frozen for 30 s, in the middle of tasks"
    lasts = 30.0
    frozen = ""

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 4)
        self.frozen = scene.random.choice(scene.stack.ids("worker"))
        scene.stack.pause(self.frozen)

    def heal(self, scene: Scene) -> None:
        run("docker", "unpause", self.frozen)


FAULTS = (
    ChildKilled,
    WorkerKilled,
    AllWorkersKilled,
    WorkerFrozen,
    Stopped,
    StoppedHard,
    ScaledDown,
)
