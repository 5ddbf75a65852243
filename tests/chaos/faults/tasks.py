"""Tasks that can't succeed; the others must not suffer."""

from __future__ import annotations

from ..fault import Fault, Scene


class Hopeless(Fault):
    """Three operations of one kind among the others."""

    kind: str

    def inject(self, scene: Scene) -> None:
        for _ in range(3):
            scene.load.post([scene.load.operation(self.kind, 0)])


class Poison(Hopeless):
    """A task that kills its process at every start ends in quarantine."""

    name = "poison"
    what = "three tasks kill the process that runs them, at every start"
    kind = "poison"


class OutOfMemory(Hopeless):
    """A task that takes more memory than its container has."""

    name = "out-of-memory"
    what = "three tasks take memory until the kernel kills a process of the worker"
    kind = "glutton"


class TimeLimit(Hopeless):
    """A task that hangs, in C or in uninterruptible sleep."""

    name = "time-limit"
    what = "three tasks hang beyond their time limit of 5 s, deaf to all signals but SIGKILL"
    kind = "endless"


FAULTS = (Poison, OutOfMemory, TimeLimit)
