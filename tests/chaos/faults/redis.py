"""The broker dies, forgets, remembers too much, stands still, or is full."""

from __future__ import annotations

from ..count import has_rows, waiting
from ..engine import ChaosError, run, wait_until
from ..fault import Fault, Scene


def stop_for_good(scene: Scene) -> str:
    """Kill Redis so that it stays down (a person's wish); return its container."""
    container = scene.stack.one("redis")
    run("docker", "kill", container)
    return container


class Killed(Fault):
    """Redis crashes; its log of writes is at most a second old."""

    name = "redis-killed"
    what = "Redis gets SIGKILL, twice"

    def inject(self, scene: Scene) -> None:
        scene.stack.kill_container(scene.stack.one("redis"))
        scene.wait(4)
        scene.stack.kill_container(scene.stack.one("redis"))


class Gone(Fault):
    """Redis is away for a while, and its name with it."""

    name = "redis-gone"
    what = "Redis is killed, and started again after 20 s"
    lasts = 20.0

    def inject(self, scene: Scene) -> None:
        stop_for_good(scene)

    def heal(self, scene: Scene) -> None:
        run("docker", "start", scene.stack.one("redis"))


class Emptied(Fault):
    """Redis comes back with nothing: no persistence, a new volume, a failover to an empty node."""

    name = "redis-emptied"
    what = "Redis is killed, its volume wiped, and starts empty"

    def inject(self, scene: Scene) -> None:
        container = stop_for_good(scene)
        scene.stack.in_redis_volume("rm -rf /data/* && ls -A /data")
        run("docker", "start", container)


class Snapshot(Fault):
    """Redis comes back from an old snapshot: tasks that finished long ago are in its queues."""

    name = "redis-old-snapshot"
    what = "Redis is restored from a snapshot with tasks that have finished since"
    soak = False

    def prepare(self, scene: Scene) -> None:
        operations = [scene.load.operation("short", 0.2) for _ in range(80)]
        if not scene.load.post(operations):
            raise ChaosError("the tasks for the snapshot were not accepted")
        scene.stack.redis("SAVE")
        run(
            "docker", "exec", scene.stack.one("redis"), "sh", "-ceu",
            "mkdir /data/.old && cp -a /data/* /data/.old",
        )  # fmt: skip
        queued = int(scene.stack.redis("LLEN", "default"))
        if queued < 10 and not has_rows(scene.stack):  # rows are no messages
            raise ChaosError(f"the snapshot holds {queued} tasks: too few to prove anything")
        scene.notes.append(f"{queued} tasks or more in the snapshot")
        wait_until(lambda: not waiting(scene.stack), "all of them have finished")

    def inject(self, scene: Scene) -> None:
        container = stop_for_good(scene)
        scene.stack.in_redis_volume("rm -rf /data/*; mv /data/.old/* /data; rmdir /data/.old")
        run("docker", "start", container)


class Frozen(Fault):
    """Redis answers nothing, and its connections stay."""

    name = "redis-frozen"
    what = "Redis is frozen for 30 s"
    lasts = 30.0

    def inject(self, scene: Scene) -> None:
        scene.stack.pause(scene.stack.one("redis"))

    def heal(self, scene: Scene) -> None:
        scene.stack.unpause(scene.stack.one("redis"))


class Full(Fault):
    """Redis has no memory left, and refuses what is new (``noeviction``)."""

    name = "redis-full"
    what = "Redis refuses every write for 15 s, its memory is full"
    lasts = 15.0
    before = "0"

    def inject(self, scene: Scene) -> None:
        self.before = scene.stack.redis("CONFIG", "GET", "maxmemory").split()[-1]
        scene.stack.redis("CONFIG", "SET", "maxmemory", "1")

    def heal(self, scene: Scene) -> None:
        scene.stack.redis("CONFIG", "SET", "maxmemory", self.before)


FAULTS = (Killed, Gone, Emptied, Snapshot, Frozen, Full)
