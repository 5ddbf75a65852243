"""The web role dies right after a transaction's commit, where plain Celery would publish."""

from __future__ import annotations

from ..engine import ChaosError, wait_until
from ..fault import Fault, Scene


class Died(Fault):
    """The process ends at the worst moment: committed, and nothing published."""

    name = "web-died-after-commit"
    what = "a web process gets SIGKILL right after a commit, ten times"

    def inject(self, scene: Scene) -> None:
        for _ in range(10):
            operations = [scene.load.operation("short") for _ in range(3)]
            scene.load.post(operations, die=True)
            scene.wait(0.3)


class Killed(Fault):
    """The whole web role ends in the middle of requests."""

    name = "web-killed"
    what = "all of web gets SIGKILL in the middle of requests, twice"

    def inject(self, scene: Scene) -> None:
        for _ in range(2):
            scene.stack.kill_container(scene.stack.one("web"))
            try:
                wait_until(scene.stack.is_ready, "web serves again", 60)
            except ChaosError as error:
                scene.notes.append(str(error))
            scene.wait(2)


FAULTS = (Died, Killed)
