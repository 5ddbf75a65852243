"""Workers come and go."""

from __future__ import annotations

from ...chaos.faults.workers import make_busy
from ..event import Event, Scene
from ..kubectl import name

DEPLOYMENT = "worker-default"


class Scaled(Event):
    """One worker becomes four, and busy as they are, one again."""

    name = "scaled-1-to-4-to-1"
    what = "`make scale-workers` N=4, then N=1 while all are busy"

    replicas = 1

    def prepare(self, scene: Scene) -> None:
        deployment = scene.stack.kubectl.one("deployment", DEPLOYMENT)
        self.replicas = int(deployment["spec"]["replicas"])
        self._scale(scene, 1)

    def inject(self, scene: Scene) -> None:
        self._scale(scene, 4)
        make_busy(scene, 6)
        self._scale(scene, 1)

    def heal(self, scene: Scene) -> None:
        self._scale(scene, self.replicas)

    def _scale(self, scene: Scene, number: int) -> None:
        """Wait until there are so many pods, those that are on their way out included."""
        env = f"--env={scene.stack.overlay.env_name}"
        scene.stack.run("deploy/k8s/scale-workers", str(number), env)
        kubectl = scene.stack.kubectl

        def pods() -> list[str]:
            return [
                name(pod)
                for pod in kubectl.get("pods", "--selector=app.kubernetes.io/component=worker")
                if name(pod).startswith(f"{DEPLOYMENT}-")
            ]

        kubectl.wait(lambda: len(pods()) == number, f"{number} worker pods", 120)
