"""The database dies, restarts, or stands still."""

from __future__ import annotations

from ..engine import run
from ..fault import Fault, Scene


class Killed(Fault):
    """PostgreSQL crashes, and recovers from its log."""

    name = "postgres-killed"
    what = "PostgreSQL gets SIGKILL, twice"

    def inject(self, scene: Scene) -> None:
        scene.stack.kill_container(scene.stack.one("postgres"))
        scene.wait(6)
        scene.stack.kill_container(scene.stack.one("postgres"))


class Gone(Fault):
    """PostgreSQL is away for a while, and its name with it."""

    name = "postgres-gone"
    what = "PostgreSQL is killed, and started again after 15 s"
    lasts = 15.0

    def inject(self, scene: Scene) -> None:
        run("docker", "kill", scene.stack.one("postgres"))

    def heal(self, scene: Scene) -> None:
        run("docker", "start", scene.stack.one("postgres"))


class Restarted(Fault):
    """An update of PostgreSQL: it ends every session in order."""

    name = "postgres-restarted"
    what = "PostgreSQL is restarted"
    noticed = False
    uploads = True

    def inject(self, scene: Scene) -> None:
        run("docker", "restart", scene.stack.one("postgres"))


class Frozen(Fault):
    """PostgreSQL answers nothing, and its connections stay."""

    name = "postgres-frozen"
    what = "PostgreSQL is frozen for 30 s"
    lasts = 30.0

    def inject(self, scene: Scene) -> None:
        scene.stack.pause(scene.stack.one("postgres"))

    def heal(self, scene: Scene) -> None:
        scene.stack.unpause(scene.stack.one("postgres"))


FAULTS = (Killed, Gone, Restarted, Frozen)
