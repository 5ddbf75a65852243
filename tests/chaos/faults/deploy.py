"""A deployment that goes wrong."""

from __future__ import annotations

from ..engine import ChaosError, run
from ..fault import Fault, Scene


class BrokenMigration(Fault):
    """A new version whose migration fails halfway, and the old version again."""

    name = "broken-migration"
    what = "a new version is deployed whose migration fails halfway, then the old one again"
    soak = False

    def inject(self, scene: Scene) -> None:
        stack = scene.stack
        done = run(
            "docker", "compose", "up", "--detach", "--no-build",
            check=False, timeout=240, cwd=stack.folder,
            env={**stack.env, "CHAOS_BROKEN_MIGRATION": "true"},
        )  # fmt: skip
        if not done.returncode:
            raise ChaosError("a deployment with a broken migration succeeded")

    def heal(self, scene: Scene) -> None:
        scene.stack.compose("up", "--detach", "--no-build", timeout=240)


FAULTS = (BrokenMigration,)
