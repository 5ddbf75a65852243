"""The beat that leads dies or stands still; a second one is there."""

from __future__ import annotations

from ..engine import inspect, wait_until
from ..fault import Fault, Scene
from ..stack import Stack
from ..target import Target


def scale(stack: Stack, number: int) -> None:
    """Make *number* beats run."""
    stack.compose(
        "up", "--detach", "--no-deps", "--no-build", "--no-recreate",
        "--scale", f"beat={number}", "beat",
    )  # fmt: skip
    wait_until(lambda: not stack.not_healthy(), "every beat is healthy")


def lock_holders(stack: Target) -> set[str]:
    """Return the addresses of those who hold an advisory lock: the leader, if there is one."""
    rows = stack.sql(
        "SELECT host(a.client_addr) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND a.client_addr IS NOT NULL"
    )
    return {address for (address,) in rows}


def leader(stack: Stack) -> str:
    """Return the container of the beat that holds the lock; any, if there is no lock."""
    beats = stack.ids("beat")
    holders = lock_holders(stack)
    for container in inspect(*beats):
        networks = container["NetworkSettings"]["Networks"].values()
        if holders & {network["IPAddress"] for network in networks}:
            return str(container["Id"])
    return beats[0]


class Killed(Fault):
    """The leader crashes."""

    name = "beat-killed"
    what = "the leading beat gets SIGKILL, three times"

    def prepare(self, scene: Scene) -> None:
        if not scene.stack.baseline:  # there, two are a fault of their own
            scale(scene.stack, 2)

    def inject(self, scene: Scene) -> None:
        for _ in range(3):
            scene.stack.kill_container(leader(scene.stack))
            scene.wait(7)

    def heal(self, scene: Scene) -> None:
        scale(scene.stack, 1)


class Frozen(Fault):
    """The leader stands still, its lock is still held, and then it goes on as if nothing was."""

    name = "beat-frozen"
    what = "the leading beat is frozen for 30 s"
    lasts = 30.0
    frozen = ""

    def prepare(self, scene: Scene) -> None:
        if not scene.stack.baseline:
            scale(scene.stack, 2)

    def inject(self, scene: Scene) -> None:
        self.frozen = leader(scene.stack)
        scene.stack.pause(self.frozen)

    def heal(self, scene: Scene) -> None:
        scene.stack.unpause(self.frozen)
        scene.wait(5)
        scale(scene.stack, 1)


class Two(Fault):
    """Somebody scales beat, or a deployment overlaps."""

    name = "two-beats"
    what = "a second beat runs for 20 s"
    lasts = 20.0

    def inject(self, scene: Scene) -> None:
        scale(scene.stack, 2)

    def heal(self, scene: Scene) -> None:
        scale(scene.stack, 1)


FAULTS = (Killed, Frozen, Two)
