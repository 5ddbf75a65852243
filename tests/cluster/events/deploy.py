"""Versions come and go; the visitors and the tasks must not notice."""

from __future__ import annotations

from ...chaos.engine import ChaosError
from ..event import Event, Scene
from ..kubectl import is_ready, name, restarts


class AppliedAgain(Event):
    """A pipeline applies what is there already."""

    name = "applied-again"
    what = "`kubectl apply -k` once more: no pod starts anew, `kubectl diff` finds nothing"

    def inject(self, scene: Scene) -> None:
        def pods() -> dict[str, int]:
            return {pod["metadata"]["uid"]: restarts(pod) for pod in scene.stack.kubectl.pods()}

        before = pods()
        told = scene.stack.apply()
        scene.stack.wait_healthy()
        if pods() != before:
            raise ChaosError(f"pods were started anew:\n{told}")
        if difference := scene.stack.diff():
            raise ChaosError(f"`kubectl diff` still finds something:\n{difference}")


class RolledOut(Event):
    """A new version: web, workers and beat are replaced, one after another."""

    name = "image-rolled-out"
    what = "a new image is rolled out to web, workers and beat"

    def inject(self, scene: Scene) -> None:
        scene.stack.deploy(scene.stack.images[1])


class RolledBack(Event):
    """The new version was a mistake."""

    name = "rolled-back"
    what = "`kubectl rollout undo` of all of them"

    def inject(self, scene: Scene) -> None:
        kubectl = scene.stack.kubectl
        deployments = scene.stack.deployments()
        for deployment in deployments:
            kubectl("rollout", "undo", f"deployment/{deployment}")
        scene.stack.rolled_out()
        images = {
            container["image"]
            for deployment in kubectl.get("deployments")
            for container in deployment["spec"]["template"]["spec"]["containers"]
        }
        if images != {scene.stack.images[0]}:
            raise ChaosError(f"the roll-back runs {images}, not {scene.stack.images[0]}")

    def heal(self, scene: Scene) -> None:
        # What is written down follows what runs.
        scene.stack.deploy(scene.stack.images[0])


class BrokenMigration(Event):
    """A new version whose migration fails halfway."""

    name = "broken-migration"
    what = "a version is deployed whose migration fails halfway, then the old one again"

    def inject(self, scene: Scene) -> None:
        stack = scene.stack
        before = {name(pod) for pod in stack.kubectl.pods("web")}
        stack.overlay.write(stack.images[0], {"CHAOS_BROKEN_MIGRATION": "true"})
        stack.apply()
        status, told = stack.kubectl.status("rollout", "status", "deployment/web", "--timeout=60s")
        scene.notes.append(f"kubectl rollout status: {told.strip().splitlines()[-1]}")
        if not status:
            raise ChaosError("a roll-out with a broken migration succeeded")
        serving = {name(pod) for pod in stack.kubectl.pods("web") if is_ready(pod)}
        if serving != before:
            raise ChaosError(f"{before} served before, now {serving}")
        events = stack.kubectl("get", "events", "--sort-by=.lastTimestamp")
        failed = [line for line in events.splitlines() if "BackOff" in line and "/web-" in line]
        if not failed:
            raise ChaosError(f"no event tells of the migration:\n{events}")
        scene.notes.append(f"event: {' '.join(failed[-1].split())}")

    def heal(self, scene: Scene) -> None:
        scene.stack.deploy(scene.stack.images[0])
