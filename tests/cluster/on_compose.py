"""The same events on compose, by the project's own scripts, for the rows beside the cluster's.

Roll-outs, the way back and rotations are the fault suite's (tests/chaos/faults/deploy.py).
"""

from __future__ import annotations

from importlib.util import find_spec

from ..chaos import faults
from ..chaos.engine import ChaosError, inspect
from ..chaos.fault import Fault, Scene
from ..chaos.faults.workers import make_busy
from ..chaos.stack import Stack
from .events.upload import Uploaded


def up(stack: Stack, **env: str) -> bool:
    """Do what ``make up`` does; return whether that succeeded."""
    return stack.script("deploy/compose/up", timeout=240, **env)


class AppliedAgain(Fault):
    """The stack is started though it runs."""

    name = "applied-again"
    what = "`make up` once more: no container starts anew"

    def inject(self, scene: Scene) -> None:
        def started() -> dict[str, str]:
            services = ("web", "worker", "beat", "postgres", "redis")
            ids = [each for service in services for each in scene.stack.ids(service)]
            return {c["Id"]: c["State"]["StartedAt"] for c in inspect(*ids)}

        before = started()
        if not up(scene.stack) or started() != before:
            raise ChaosError("containers were started anew")


class Scaled(Fault):
    """One worker becomes four, and busy as they are, one again."""

    name = "scaled-1-to-4-to-1"
    what = "`make scale-workers` N=4, then N=1 while all are busy"

    def prepare(self, scene: Scene) -> None:
        self._scale(scene, 1)

    def inject(self, scene: Scene) -> None:
        self._scale(scene, 4)
        make_busy(scene, 6)
        self._scale(scene, 1)

    def heal(self, scene: Scene) -> None:
        self._scale(scene, scene.stack.workers)

    def _scale(self, scene: Scene, number: int) -> None:
        if not scene.stack.script("deploy/compose/scale-workers", str(number)):
            raise ChaosError(f"scale-workers {number} failed")


class BrokenMigration(Fault):
    """A new version whose migration fails halfway."""

    name = "broken-migration"
    what = "`make up` with a version whose migration fails halfway"

    def inject(self, scene: Scene) -> None:
        if up(scene.stack, CHAOS_BROKEN_MIGRATION="true"):
            raise ChaosError("a version with a broken migration started")


class PostgresRecreated(Fault):
    """Its container is replaced, as a new image does; the volume stays."""

    name = "postgres-deleted"
    what = "the PostgreSQL container is replaced; its data stays"

    def inject(self, scene: Scene) -> None:
        scene.stack.compose("up", "--detach", "--no-deps", "--force-recreate", "postgres")


class RedisRecreated(Fault):
    """The same for the broker."""

    name = "redis-deleted"
    what = "the Redis container is replaced; its data stays"

    def inject(self, scene: Scene) -> None:
        scene.stack.compose("up", "--detach", "--no-deps", "--force-recreate", "redis")


#: Those of the compose suite itself.
KILLS = ("web-killed", "workers-killed", "beat-killed", "postgres-killed", "redis-killed")
#: By the name of the cluster's event. A node that goes takes all of compose with it.
BY_NAME: dict[str, type[Fault]] = {
    AppliedAgain.name: AppliedAgain,
    **({Uploaded.name: Uploaded} if find_spec("apps.reports") else {}),
    Scaled.name: Scaled,
    **{
        name: faults.BY_NAME[name]
        for name in (
            "web-killed",
            "workers-killed",
            "beat-killed",
            "postgres-killed",
            "redis-killed",
        )
    },
    PostgresRecreated.name: PostgresRecreated,
    RedisRecreated.name: RedisRecreated,
    BrokenMigration.name: BrokenMigration,
}
